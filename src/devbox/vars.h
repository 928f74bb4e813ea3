#pragma once
/*
 * Environment variables: names and values, sorted by name, one value a name. Owns its strings.
 */
#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>

struct var {
	char *name;
	char *value;
};

struct vars {
	struct var *list;
	size_t count;
	size_t room;
};

void vars_done(struct vars *vars);
#define auto_vars CLEANUP(vars_done)

/* The value, NULL if there is none; valid until it is set again. */
const char *vars_get(const struct vars *vars, const char *name);
/* The value, "" if there is none. */
const char *vars_value(const struct vars *vars, const char *name);
void vars_set(struct vars *vars, const char *name, const char *value);
void vars_unset(struct vars *vars, const char *name);

/* From and to the form of environ(7). What has no '=' is passed over; the vector is freed with
 * vars_free_environ. */
void vars_from_environ(struct vars *vars, char *const *environment);
char **vars_to_environ(const struct vars *vars);
void vars_free_environ(char **environment);

/* Whether a shell can have a variable of that name: [A-Za-z_][A-Za-z0-9_]* */
bool vars_name_will_do(const char *name);

/* Whether the value says yes, in the words of Go's strconv.ParseBool; NULL says no. */
bool vars_says_yes(const char *value);
