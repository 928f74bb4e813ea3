#include "guest/template.h"

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define TEXT_MAX   ((size_t)1 << 20)
#define VALUES_MAX 32

/* The length of the name between two @, 0: this @ is just an @. */
static size_t name_length(const char *at)
{
	size_t length = strspn(at + 1, "abcdefghijklmnopqrstuvwxyz_");

	return at[1 + length] == '@' ? length : 0;
}

static size_t find(const struct template_value *values, size_t count, const char *name,
		   size_t length)
{
	size_t i = 0;

	while (i < count &&
	       (strlen(values[i].name) != length || strncmp(values[i].name, name, length) != 0))
		i++;
	return i;
}

int template_fill(const char *template, const struct template_value *values, size_t count,
		  char **ret_text, struct err *err)
{
	auto_buf struct buf out;
	bool used[VALUES_MAX] = {false};

	buf_init(&out, TEXT_MAX);
	for (const char *at = template; *at;) {
		size_t length = *at == '@' ? name_length(at) : 0;
		size_t i = length > 0 ? find(values, count, at + 1, length) : count;

		if (length == 0) {
			(void)buf_append(&out, at++, 1);
			continue;
		}
		if (i == count || i >= VALUES_MAX)
			return err_set(err, ERR_INVALID, "there is no value for @%.*s@",
				       (int)length, at + 1);
		if (buf_append_string(&out, values[i].text) < 0)
			return err_set(err, ERR_INVALID, "the value of @%s@ is too long",
				       values[i].name);
		used[i] = true;
		at += length + 2;
	}
	for (size_t i = 0; i < count; i++)
		if (!used[i])
			return err_set(err, ERR_INVALID, "there is no place for @%s@",
				       values[i].name);
	*ret_text = buf_take_string(&out);
	return 0;
}
