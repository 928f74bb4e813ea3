#include "cli/ask.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool ask_possible(void)
{
	return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

char *ask_line(const char *question)
{
	char answer[64];

	(void)fprintf(stderr, "dxvm: %s ", question);
	(void)fflush(stderr);
	if (!fgets(answer, sizeof(answer), stdin))
		return NULL;
	return xstrndup(answer, strcspn(answer, "\n"));
}

bool ask_yes(const char *question, bool by_default)
{
	auto_free char *whole = xasprintf("%s [%s]", question, by_default ? "Y/n" : "y/N");
	auto_free char *answer = ask_line(whole);

	if (!answer)
		return false;
	return *answer ? tolower((unsigned char)*answer) == 'y' : by_default;
}
