#pragma once
/*
 * A stream socket with a mux on it, driven by the loop: reads feed the mux, whatever any event put
 * into the mux is written before the loop sleeps again. One object for both kinds of peer, clients
 * and the agent. The link owns the descriptor and the mux.
 */
#include "wire/mux.h"

#include <uv.h>

struct link;

enum link_end {
	LINK_CLOSED, /* by the peer, or by an error of the socket */
	LINK_BROKEN, /* the peer broke the protocol */
	LINK_DONE,   /* everything was written after link_finish */
};

/* The link is of no more use; why says it in words. Called once, never from inside a mux event;
 * call link_free. */
typedef void link_down(void *ctx, enum link_end end, const char *why);

struct link *link_new(uv_loop_t *loop, int fd, struct mux *mux, link_down *down, void *ctx);

/* Frees the mux (its channels are closed as lost) and closes the descriptor. Not from inside a mux
 * event. NULL is fine. */
void link_free(struct link *link);

/* Reads no more, writes what is queued, then reports down. */
void link_finish(struct link *link);

/* The same socket under another descriptor, to outlive the link. -1: there are none left. */
int link_dup(const struct link *link);

struct mux *link_mux(const struct link *link);
