#include "devbox/pathlist.h"

#include "base/mem.h"

#include <string.h>

#define STACK "DEVBOX_PATH_STACK"
#define INIT  "DEVBOX_INIT_PATH"

/* Drops the last component of what is in `out`, down to `floor`. */
static size_t drop_last(const char *out, size_t used, size_t floor)
{
	while (used > floor && out[used - 1] != '/')
		used--;
	return used > floor && used > 1 ? used - 1 : used;
}

char *pathlist_clean(const char *path)
{
	const bool rooted = *path == '/';
	char *out = xmalloc(strlen(path) + 2);
	size_t floor = rooted ? 1 : 0; /* nothing below is dropped by ".." */
	size_t used = 0;

	if (rooted)
		out[used++] = '/';
	while (*path) {
		size_t length = strcspn(path, "/");
		const bool up = length == 2 && path[0] == '.' && path[1] == '.';

		if (up && used > floor) {
			used = drop_last(out, used, floor);
		} else if ((up && !rooted) ||
			   (!up && length > 0 && !(length == 1 && path[0] == '.'))) {
			if (used > 0 && out[used - 1] != '/')
				out[used++] = '/';
			memcpy(out + used, path, length);
			used += length;
			if (up)
				floor = used;
		}
		path += length;
		path += *path == '/';
	}
	if (used == 0)
		out[used++] = '.';
	out[used] = '\0';
	return out;
}

/* Whether a colon-separated list has this element. */
static bool contains(const char *list, const char *element)
{
	size_t length = strlen(element);

	for (; *list; list += *list == ':') {
		size_t n = strcspn(list, ":");

		if (n == length && strncmp(list, element, n) == 0)
			return true;
		list += n;
	}
	return false;
}

static void append_cleaned(char **out, const char *list)
{
	for (; *list; list += *list == ':') {
		size_t n = strcspn(list, ":");
		auto_free char *element = xstrndup(list, n);
		auto_free char *clean = pathlist_clean(element);

		list += n;
		if (clean[0] != '/' || contains(*out, clean))
			continue;
		char *longer = xasprintf("%s%s%s", *out, **out ? ":" : "", clean);
		free(*out);
		*out = longer;
	}
}

char *pathlist_join(const char *first, const char *second)
{
	char *out = xstrdup("");

	append_cleaned(&out, first);
	append_cleaned(&out, second);
	return out;
}

bool pathlist_has(const struct vars *vars, const char *key)
{
	return contains(vars_value(vars, STACK), key);
}

void pathlist_push(struct vars *vars, const struct vars *original, const char *key,
		   const char *path)
{
	const char *old = vars_value(original, STACK);
	auto_free char *stack = NULL;
	auto_free char *joined = xstrdup("");

	if (old[strspn(old, " \t\n\r")] == '\0') {
		vars_set(vars, INIT, vars_value(original, "PATH"));
		old = INIT;
	}
	vars_set(vars, key, path);
	stack = xasprintf("%s:", key);
	for (const char *at = old; *at; at += *at == ':') {
		size_t n = strcspn(at, ":");
		auto_free char *other = xstrndup(at, n);
		auto_free char *longer = NULL;

		at += n;
		if (strcmp(other, key) == 0)
			continue;
		longer = xasprintf("%s%s:", stack, other);
		free(stack);
		stack = take_ptr(&longer);
	}
	stack[strlen(stack) - 1] = '\0';
	vars_set(vars, STACK, stack);
	for (const char *at = stack; *at; at += *at == ':') {
		size_t n = strcspn(at, ":");
		auto_free char *name = xstrndup(at, n);
		auto_free char *more = pathlist_join(joined, vars_value(vars, name));

		at += n;
		free(joined);
		joined = take_ptr(&more);
	}
	vars_set(vars, "PATH", joined);
}
