#pragma once
/*
 * Becoming a shell in the project's environment: the user's own shell ($SHELL), with the user's own
 * start-up file, then the environment, the prompt, the init hook and the aliases.
 */
#include "devbox/project.h"

/* Replaces the process; returns only on failure. `vars` are changed. */
int shell_become(const struct project *project, struct vars *vars, struct err *err);

/* Becomes the user's login shell without any of it. */
int shell_become_plain(struct err *err);

/* The start-up file, for tests. `own_rc`: the user's, or NULL; `first`: a line that comes
 * before all else. */
enum shell_kind {
	SHELL_BASH,
	SHELL_ZSH,
	SHELL_FISH,
	SHELL_POSIX, /* ksh, dash, ash, sh */
	SHELL_OTHER, /* gets the environment alone */
};
enum shell_kind shell_kind(const char *program);
char *shell_rc(const struct project *project, const struct vars *vars, enum shell_kind kind,
	       const char *own_rc, const char *first);
