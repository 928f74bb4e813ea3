#include "devbox/expand.h"

#include "base/mem.h"

#include <string.h>

#define SPECIAL "*#$@!?-0123456789"
#define NAMES	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789"

static bool is_special(char c)
{
	return c != '\0' && strchr(SPECIAL, c);
}

/* What follows a '$': where the name is and how much to pass over. A length of 0 with something to
 * pass over: bad syntax, which vanishes. */
static size_t find_name(const char *at, const char **ret_name, size_t *ret_length)
{
	const char *close;

	*ret_name = at;
	if (*at == '{') {
		if (is_special(at[1]) && at[2] == '}') {
			*ret_name = at + 1;
			*ret_length = 1;
			return 3;
		}
		close = strchr(at, '}');
		*ret_name = at + 1;
		*ret_length = close ? (size_t)(close - at - 1) : 0;
		return close ? *ret_length + 2 : 1;
	}
	*ret_length = is_special(*at) ? 1 : strspn(at, NAMES);
	return *ret_length;
}

int expand(const char *text, const struct vars *vars, const char *project, char **ret_text,
	   struct err *err)
{
	auto_buf struct buf buf;
	int room = 0;

	buf_init(&buf, EXPAND_MAX);
	while (room == 0 && *text) {
		size_t plain = strcspn(text, "$");
		const char *name;
		size_t length;
		size_t passed;

		room = buf_append(&buf, text, plain);
		text += plain;
		if (room < 0 || !*text)
			break;
		passed = find_name(++text, &name, &length);
		if (passed == 0)
			room = buf_append(&buf, "$", 1);
		if (length > 0) {
			auto_free char *key = xstrndup(name, length);

			room = buf_append_string(
			    &buf, strcmp(key, "PWD") == 0 ? project : vars_value(vars, key));
		}
		text += passed;
	}
	if (room < 0)
		return err_set(err, ERR_INVALID, "the value is longer than %zu bytes", EXPAND_MAX);
	*ret_text = buf_take_string(&buf);
	return 0;
}
