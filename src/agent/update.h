#pragma once
/*
 * Newer programs of ours from the host, for a guest that has them on its disk (agent/programs.h).
 * One is taken at a time; it is used when it is started next, never before.
 */
#include "agent/loop.h"
#include "wire/mux.h"

#include <stdint.h>

struct update;

struct updates {
	struct loop *loop;
	const char *directory;	/* NULL: nothing of ours lies on the disk */
	struct update *current; /* or NULL; its own */
};

/* A channel of PROTO_KIND_PROGRAM was opened, with a description of `length` bytes. */
void updates_open(struct updates *updates, struct mux_channel *channel, uint32_t length);
