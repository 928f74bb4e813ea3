#include "base/fingerprint.h"
#include "base/safe_text.h"
#include "devbox/environment.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct options options;
	struct err err = ERR_INIT;
	int status = -1;

	fingerprint_claim();
	if (argc > 0 && options_parse(&options, argv, &err) == 0)
		status = environment_run(&options, &err);
	if (status >= 0)
		return status;
	auto_free char *text = safe_text(err.text, strlen(err.text), SAFE_TEXT_LINE);
	(void)fprintf(stderr, "dxvm: %s\n", text);
	/* What devbox ends with. */
	return 1;
}
