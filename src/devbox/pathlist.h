#pragma once
/*
 * Lists of directories as in $PATH, and the stack that devbox keeps of them: DEVBOX_PATH_STACK
 * names the variables that hold each active project's part, the first one first, and
 * DEVBOX_INIT_PATH what there was before.
 */
#include "devbox/vars.h"

#include <stdbool.h>

/* Go's filepath.Clean: no "." and "..", no double or trailing slashes. The caller's. */
char *pathlist_clean(const char *path);

/* Both lists in one: each directory cleaned, relative ones and repetitions left out. The caller's.
 */
char *pathlist_join(const char *first, const char *second);

/* Puts `path` on the stack under `key`, and sets PATH to what the stack comes to. `original` is the
 * environment before anything of ours. */
void pathlist_push(struct vars *vars, const struct vars *original, const char *key,
		   const char *path);

/* Whether the stack of this environment has the key: the project's environment is active. */
bool pathlist_has(const struct vars *vars, const char *key);
