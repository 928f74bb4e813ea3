#pragma once
/*
 * The command line of dxvm-devbox, which is devbox's own as far as it goes:
 *
 *	dxvm-devbox [enter] shell|run|services|packages [OPTION]... [--] [WORD]...
 *
 * Options end at the first word that is none.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define OPTIONS_GIVEN_MAX 256

enum verb {
	VERB_SHELL,
	VERB_RUN,
	VERB_SERVICES,
	VERB_PACKAGES,
	VERB_VERSION,
};

struct options {
	enum verb verb;
	bool enter; /* prefer devbox, and a plain shell where there is no project */
	bool pure, print_env, for_fish, list;
	const char *project; /* NULL: found from the current directory */
	const char *env_file;
	const char *given[OPTIONS_GIVEN_MAX]; /* NAME=VALUE */
	size_t given_count;
	char **devbox_words; /* of argv: the verb and all behind it, as devbox would take them */
	char **words;	     /* of argv: behind the options */
};

int options_parse(struct options *ret_options, char **argv, struct err *err);
