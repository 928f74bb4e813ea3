#include "devbox/say.h"

#include "base/mem.h"
#include "base/safe_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char *line(const char *format, va_list ap) PRINTF_LIKE(1, 0);
static char *line(const char *format, va_list ap)
{
	auto_free char *text = xvasprintf(format, ap);

	return safe_text(text, strlen(text), SAFE_TEXT_LINE);
}

void say(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	auto_free char *text = line(format, ap);
	va_end(ap);
	(void)fprintf(stderr, "dxvm: %s\n", text);
}

void say_later(struct buf *notes, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	auto_free char *text = line(format, ap);
	va_end(ap);
	(void)buf_printf(notes, "dxvm: %s\n", text);
}

void say_notes(const struct buf *notes)
{
	(void)fwrite(buf_data(notes), 1, buf_length(notes), stderr);
}
