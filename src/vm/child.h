#pragma once
/*
 * The process behind a machine: started, watched, its last words kept. Reports its end once, after
 * all it wrote to stderr was read. Everything runs on the loop's thread.
 */
#include "base/spawn.h"

#include <uv.h>

#define CHILD_FDS_MAX 16

struct child;

/* status: of waitpid. words: the end of what it wrote to stderr, control characters escaped, lines
 * joined by "; ", "" if nothing; valid during the call. The last event; child_free may be called
 * from in here. */
typedef void (*child_gone)(void *ctx, int status, const char *words);

/* spawn->fds must not name descriptor 2: it is the child's. */
int child_start(uv_loop_t *loop, const struct spawn *spawn, child_gone gone, void *ctx,
		struct child **ret_child, struct err *err);

pid_t child_pid(const struct child *child); /* 0 once it is gone */
void child_signal(struct child *child, int number);

/* Kills and reaps it if it still runs; no event after this. NULL is fine. */
void child_free(struct child *child);
