#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const int exit_status[] = {
    [ERR_NONE] = 0,	   [ERR_SYSTEM] = 125,	    [ERR_USAGE] = 2,	   [ERR_INVALID] = 125,
    [ERR_NOT_FOUND] = 125, [ERR_EXISTS] = 125,	    [ERR_BUSY] = 125,	   [ERR_PROTOCOL] = 125,
    [ERR_GUEST] = 125,	   [ERR_UNSUPPORTED] = 125, [ERR_CANCELLED] = 130,
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

void err_sys_(struct err *err, const char *format, ...)
{
	int sys = errno;
	va_list ap;
	size_t used;

	err->code = ERR_SYSTEM;
	err->sys = sys;
	va_start(ap, format);
	(void)vsnprintf(err->text, sizeof(err->text), format, ap);
	va_end(ap);
	used = strlen(err->text);
	(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(sys));
	errno = sys;
}

void err_wrap_(struct err *err, const char *format, ...)
{
	char inner[sizeof(err->text)];
	va_list ap;
	size_t used;

	memcpy(inner, err->text, sizeof(inner));
	va_start(ap, format);
	(void)vsnprintf(err->text, sizeof(err->text), format, ap);
	va_end(ap);
	used = strlen(err->text);
	(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", inner);
}

int err_exit_status(const struct err *err)
{
	return exit_status[err->code];
}
