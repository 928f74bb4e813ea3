#include "devbox/quote.h"

#include <string.h>

int quote_single(struct buf *buf, const char *text)
{
	int result = buf_append(buf, "'", 1);

	for (; result == 0 && *text; text++)
		result = *text == '\'' ? buf_append(buf, "'\\''", 4) : buf_append(buf, text, 1);
	return result == 0 ? buf_append(buf, "'", 1) : -1;
}

/* In `quote`, with a backslash before each of `escaped`. */
static int quoted(struct buf *buf, const char *text, const char *quote, const char *escaped)
{
	int result = buf_append(buf, quote, 1);

	for (; result == 0 && *text; text++) {
		if (strchr(escaped, *text))
			result = buf_append(buf, "\\", 1);
		if (result == 0)
			result = buf_append(buf, text, 1);
	}
	return result == 0 ? buf_append(buf, quote, 1) : -1;
}

int quote_single_fish(struct buf *buf, const char *text)
{
	return quoted(buf, text, "'", "\\'");
}

int quote_double(struct buf *buf, const char *text)
{
	return quoted(buf, text, "\"", "\\\"");
}

int quote_exports(struct buf *buf, const struct vars *vars, bool for_fish)
{
	const char *escaped = for_fish ? "$\"\\" : "$`\"\\";

	for (size_t i = 0; i < vars->count; i++) {
		const struct var *var = &vars->list[i];

		if (!vars_name_will_do(var->name))
			continue;
		if (buf_printf(buf, "export %s=", var->name) < 0 ||
		    quoted(buf, var->value, "\"", escaped) < 0 || buf_append(buf, ";\n", 2) < 0)
			return -1;
	}
	return 0;
}
