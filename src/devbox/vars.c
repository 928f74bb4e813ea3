#include "devbox/vars.h"

#include "base/mem.h"

#include <string.h>

void vars_done(struct vars *vars)
{
	for (size_t i = 0; i < vars->count; i++) {
		free(vars->list[i].name);
		free(vars->list[i].value);
	}
	free(vars->list);
	*vars = (struct vars){.count = 0};
}

/* Where it is, or where it belongs. */
static size_t find(const struct vars *vars, const char *name, bool *ret_there)
{
	size_t low = 0;
	size_t high = vars->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(vars->list[middle].name, name);

		if (order == 0) {
			*ret_there = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_there = false;
	return low;
}

const char *vars_get(const struct vars *vars, const char *name)
{
	bool there;
	size_t at = find(vars, name, &there);

	return there ? vars->list[at].value : NULL;
}

const char *vars_value(const struct vars *vars, const char *name)
{
	const char *value = vars_get(vars, name);

	return value ? value : "";
}

void vars_set(struct vars *vars, const char *name, const char *value)
{
	char *copy = xstrdup(value);
	bool there;
	size_t at = find(vars, name, &there);

	if (there) {
		free(vars->list[at].value);
		vars->list[at].value = copy;
		return;
	}
	if (vars->count == vars->room) {
		vars->room = vars->room ? vars->room * 2 : 64;
		vars->list = xrealloc(vars->list, vars->room * sizeof(*vars->list));
	}
	memmove(vars->list + at + 1, vars->list + at, (vars->count - at) * sizeof(*vars->list));
	vars->list[at] = (struct var){.name = xstrdup(name), .value = copy};
	vars->count++;
}

void vars_unset(struct vars *vars, const char *name)
{
	bool there;
	size_t at = find(vars, name, &there);

	if (!there)
		return;
	free(vars->list[at].name);
	free(vars->list[at].value);
	vars->count--;
	memmove(vars->list + at, vars->list + at + 1, (vars->count - at) * sizeof(*vars->list));
}

void vars_from_environ(struct vars *vars, char *const *environment)
{
	for (; *environment; environment++) {
		const char *equals = strchr(*environment, '=');

		if (!equals || equals == *environment)
			continue;
		auto_free char *name = xstrndup(*environment, (size_t)(equals - *environment));
		vars_set(vars, name, equals + 1);
	}
}

char **vars_to_environ(const struct vars *vars)
{
	char **environment = xcalloc(vars->count + 1, sizeof(*environment));

	for (size_t i = 0; i < vars->count; i++)
		environment[i] = xasprintf("%s=%s", vars->list[i].name, vars->list[i].value);
	return environment;
}

void vars_free_environ(char **environment)
{
	for (char **entry = environment; entry && *entry; entry++)
		free(*entry);
	free(environment);
}

bool vars_name_will_do(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
	static const char more[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

	return *name && strchr(letters, *name) && name[strspn(name, more)] == '\0';
}

bool vars_says_yes(const char *value)
{
	static const char *const words[] = {"1", "t", "T", "TRUE", "true", "True"};

	for (size_t i = 0; value && i < ARRAY_SIZE(words); i++)
		if (strcmp(value, words[i]) == 0)
			return true;
	return false;
}
