#pragma once
/*
 * Where a session's output goes: standard output or error, which other processes share and which
 * therefore stays blocking, and what waits for it, at most a window. A write never blocks on a
 * reader that stands still.
 */
#include "base/buf.h"

#include <stdbool.h>

struct output {
	int fd;
	struct buf bytes; /* that wait; filled by the owner */
	size_t most;	  /* at once, by a plain write */
	bool may_ask;	  /* the kernel may know writes that take what there is room for */
	int failure;	  /* errno of the first write that failed, or 0 */
};

void output_init(struct output *output, int fd);
void output_done(struct output *output);

/* When poll says that it is writable: writes all that can be now, and returns how much that was.
 * `saw`, if any, is told what a terminal was given. What cannot be written is taken as read, so that
 * the command goes on, and `failure` says so. EPIPE is seen only by who ignores SIGPIPE. */
size_t output_write(struct output *output, void (*saw)(const void *bytes, size_t length));
