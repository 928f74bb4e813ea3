#pragma once
/*
 * The socket that clients come in by. Its directory may go while the supervisor lives: a logout
 * removes XDG_RUNTIME_DIR. So it is looked after, and made again: where it was, else in /tmp, where
 * clients find it by the file that names it (project/live.h).
 */
#include "base/err.h"

#include <uv.h>

struct door;

struct door_events {
	void (*connected)(void *ctx, int fd); /* the callee's now */
	/* Tells clients that they find it there from now on. */
	int (*moved)(void *ctx, const char *path, struct err *err);
};

/* Makes the directory (0700, the user's own) and the socket <dir>/<name>.sock, in place of a stale
 * one. `moved` is called for the first path as well, from inside. */
int door_open(uv_loop_t *loop, const char *dir, const char *name, const struct door_events *events,
	      void *ctx, struct door **ret_door, struct err *err);
/* Nobody comes in any more. */
void door_shut(struct door *door);
/* Removes the socket, too. */
void door_free(struct door *door);
