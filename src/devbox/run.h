#pragma once
/* Running a script or a command of the project, as `devbox run` does: by sh, in the project's
 * directory, after the init hook. */
#include "devbox/project.h"

/* The names of the scripts, sorted, on standard output. */
void run_list(const struct project *project);

/* Replaces the process; returns only on failure. words[0] is a script, an alias or a command;
 * `vars` are changed. In an environment that is active already the hook does not run again. */
int run_become(const struct project *project, struct vars *vars, bool active, char *const *words,
	       struct err *err);
