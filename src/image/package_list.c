#include "image/package_list.h"

#include "base/buf.h"

#include <string.h>

#define LIST_MAX ((size_t)64 << 10)

char *package_list_join(const char *text)
{
	auto_buf struct buf out;

	buf_init(&out, LIST_MAX);
	while (*text) {
		size_t line = strcspn(text, "\n");
		size_t name = strcspn(text, " \t#\n");

		if (name > 0 && buf_length(&out) > 0)
			(void)buf_append_string(&out, ",");
		(void)buf_append(&out, text, name);
		text += line + (text[line] == '\n');
	}
	return buf_take_string(&out);
}
