#pragma once
/*
 * Where things lie. Strings returned are the caller's. Paths are bytes; nothing here assumes UTF-8.
 */
#include "base/err.h"

#include <stdbool.h>

/* "a/b"; a slash is put between only where there is none, and "" is here: "" and "b" are "b". */
char *path_join(const char *dir, const char *name);

/* The last component of a path without trailing slashes ("/" for the root); points into path. */
const char *path_base(const char *path);

/* Whether `inner` is `outer` or lies in it, by their names. */
bool path_lies_in(const char *inner, const char *outer);

/* $XDG_STATE_HOME/devbox/vm, else ~/.local/state/devbox/vm: what projects share (base images, ISOs,
 * the registry). Relative values of XDG variables are ignored (XDG base directory specification).
 */
char *path_state_dir(struct err *err);

/* Where control sockets go, short enough for sun_path: $XDG_RUNTIME_DIR/dxvm, else /tmp/dxvm-UID.
 */
char *path_runtime_dir(void);

/* The user's home: $HOME if absolute, else from the user database. NULL if there is none. */
char *path_home(void);

/* Where a program of ours lies that people do not call themselves: $DXVM_LIBEXEC, else beside a
 * build ("src/agent/dxvm-agent" next to the running program), else ../libexec/dxvm. ERR_NOT_FOUND
 * names all places that were tried. */
char *path_program(const char *room, const char *name, struct err *err);

/* The running program itself. */
char *path_self(struct err *err);
/* By what it can be run once more: the very same, also when another one was installed in its place
 * meanwhile, where the host can (Linux). */
char *path_running(struct err *err);
