#pragma once
/*
 * Options by table. Spellings: -x, --x, -x=v, -x v, --x=v, --x v, and -c v for an option with a
 * letter; a flag takes =true or =false. "--" ends the options. Nothing is kept in globals.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define OPTIONS_MAX 1024 /* given on one command line */

struct option {
	const char *name;     /* long name, without dashes */
	const char *argument; /* what it takes, for help ("DIR"); NULL: a flag */
	const char *summary;
	char letter; /* short name, or 0 */
};

struct options {
	struct {
		const struct option *option;
		const char *value; /* points into argv; "true"/"false" for a flag */
	} given[OPTIONS_MAX];
	size_t count;
};

/* Reads options from argv[*index] on, by the given tables (each ends with an empty name; NULL ends
 * the list), and stops at the first word that is none, after "--", or at the end. *index is moved.
 * *ret_ended tells that "--" was met. */
int options_parse(struct options *options, const struct option *const *tables, char *const *argv,
		  int *index, bool *ret_ended, struct err *err);

/* The first one given whose name is in none of the tables, or NULL. */
const struct option *options_foreign(const struct options *options,
				     const struct option *const *tables);

/* The value given last, NULL when the option was not given. */
const char *options_value(const struct options *options, const char *name);
bool options_flag(const struct options *options, const char *name);
