#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CONTEXT_KEPT ((size_t)120)

static const int exit_status[] = {
    [ERR_NONE] = 0,	   [ERR_SYSTEM] = 125,	    [ERR_USAGE] = 2,	   [ERR_INVALID] = 125,
    [ERR_NOT_FOUND] = 125, [ERR_EXISTS] = 125,	    [ERR_BUSY] = 125,	   [ERR_PROTOCOL] = 125,
    [ERR_GUEST] = 125,	   [ERR_UNSUPPORTED] = 125, [ERR_CANCELLED] = 130, [ERR_AGAIN] = 125,
};
_Static_assert(sizeof(exit_status) / sizeof(exit_status[0]) == ERR_COUNT, "one status a code");

void err_set_(struct err *err, enum err_code code, const char *format, ...)
{
	va_list ap;

	err->code = code;
	err->sys = 0;
	va_start(ap, format);
	(void)vsnprintf(err->text, sizeof(err->text), format, ap);
	va_end(ap);
}

/* err->text: "context: reason". Where both do not fit the context is cut, down to CONTEXT_KEPT
 * bytes: why something failed is worth more than the end of a long path. */
static void PRINTF_LIKE(3, 0)
    put_context(struct err *err, const char *reason, const char *format, va_list ap)
{
	char context[sizeof(err->text)];
	char text[sizeof(err->text)];
	size_t room = sizeof(text) - strlen(": ") - 1;
	size_t most = strlen(reason) < room - CONTEXT_KEPT ? room - strlen(reason) : CONTEXT_KEPT;
	size_t used;
	size_t kept;

	(void)vsnprintf(context, sizeof(context), format, ap);
	if (strlen(context) > most)
		memcpy(context + most - strlen("..."), "...", sizeof("..."));
	used = strlen(context);
	kept = strnlen(reason, room - used);
	memcpy(text, context, used);
	memcpy(text + used, ": ", strlen(": "));
	used += strlen(": ");
	memcpy(text + used, reason, kept);
	text[used + kept] = '\0';
	memcpy(err->text, text, used + kept + 1);
}

/* What to do about it, where that is always the same. */
static const char *advice(int sys)
{
	return sys == ENOSPC || sys == EDQUOT ? "; make room there and try again" : "";
}

void err_sys_(struct err *err, const char *format, ...)
{
	int sys = errno;
	char reason[160];
	va_list ap;

	(void)snprintf(reason, sizeof(reason), "%s%s", strerror(sys), advice(sys));
	err->code = ERR_SYSTEM;
	err->sys = sys;
	va_start(ap, format);
	put_context(err, reason, format, ap);
	va_end(ap);
	errno = sys;
}

void err_wrap_(struct err *err, const char *format, ...)
{
	char reason[sizeof(err->text)];
	va_list ap;

	memcpy(reason, err->text, strlen(err->text) + 1);
	va_start(ap, format);
	put_context(err, reason, format, ap);
	va_end(ap);
}

int err_exit_status(const struct err *err)
{
	return exit_status[err->code];
}
