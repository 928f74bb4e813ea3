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
	char answer[64];

	(void)fprintf(stderr, "dxvm: %s [%s] ", question, by_default ? "Y/n" : "y/N");
	(void)fflush(stderr);
	if (!fgets(answer, sizeof(answer), stdin))
		return false;
	if (answer[0] == '\n')
		return by_default;
	return tolower((unsigned char)answer[0]) == 'y';
}
