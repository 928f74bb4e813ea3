#include "guest/quote.h"

#include "base/buf.h"

#include <stdint.h>
#include <string.h>

#define LONGEST 4 /* '\'' for one byte */

char *quote_nix(const char *text)
{
	struct buf out;

	buf_init(&out, LONGEST * strlen(text) + 3);
	(void)buf_append_string(&out, "\"");
	for (const char *c = text; *c; c++) {
		if (*c == '\n')
			(void)buf_append_string(&out, "\\n");
		else if (*c == '\r')
			(void)buf_append_string(&out, "\\r");
		else if (*c == '\t')
			(void)buf_append_string(&out, "\\t");
		else if (*c == '"' || *c == '\\' || (*c == '$' && c[1] == '{'))
			(void)buf_printf(&out, "\\%c", *c);
		else
			(void)buf_append(&out, c, 1);
	}
	(void)buf_append_string(&out, "\"");
	return buf_take_string(&out);
}

char *quote_shell(const char *text)
{
	struct buf out;

	buf_init(&out, LONGEST * strlen(text) + 3);
	(void)buf_append_string(&out, "'");
	for (const char *c = text; *c; c++) {
		if (*c == '\'')
			(void)buf_append_string(&out, "'\\''");
		else
			(void)buf_append(&out, c, 1);
	}
	(void)buf_append_string(&out, "'");
	return buf_take_string(&out);
}
