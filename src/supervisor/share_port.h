#pragma once
/*
 * The host's end of the share port (wire/share_proto.h): frames in, requests to their share, frames
 * out. Bytes only, no descriptors: share_server.c reads and writes. The shares are lent.
 *
 * Bounded: one partial frame of input, and output: while an answer waits to be written, no further
 * request is taken, so a guest that does not read its answers only stops itself.
 */
#include "base/buf.h"
#include "base/err.h"
#include "share/share.h"

#include <stdbool.h>
#include <stdint.h>

#define SHARE_PORT_SHARES_MAX 16

struct share_port {
	struct share *const *shares; /* SHARE_PORT_SHARES_MAX, by number; NULL: there is none */
	struct buf in;
	struct buf out;
	struct buf reply;
	struct buf along; /* what is sent before the reply */
	uint64_t nonce;
	uint64_t notified_ms; /* start of the present measure of notices */
	unsigned notified;    /* sent in it */
	bool synced;	      /* the agent has answered our hello */
	bool telling;	      /* news are in `out`, unless that is empty */
	bool held;	      /* we asked it to be quiet */
	bool quiesced;	      /* it has said that nothing is outstanding, */
	bool unheard;	      /* and may not have read what it was told since it was asked */
};

/* A nonce from random bits. */
uint64_t share_port_nonce(uint64_t random);

/* Starts with the hello. `previous` are the nonces of the one or two servers before us that the
 * agent may hear on this link (0: none): it takes its own as the end of whatever frame that server
 * left unfinished. */
void share_port_init(struct share_port *port, struct share *const *shares, uint64_t nonce,
		     const uint64_t previous[2]);
void share_port_done(struct share_port *port);

/* How much may be fed now; 0 while the agent has to read first. */
size_t share_port_wants(const struct share_port *port);
/* Takes bytes from the port and works them off. -1: the peer broke the protocol. */
int share_port_feed(struct share_port *port, const void *bytes, size_t length, struct err *err);
/* Sends what the shares have to tell: as far as there is room, and in a measure that a slow guest
 * can keep up with, for it has no way to say stop. Returns in how many milliseconds there will be
 * more to send, -1: nothing waits. */
int share_port_notify(struct share_port *port, uint64_t now_ms);
/* Whether what was told is not all written. */
bool share_port_is_writing_news(const struct share_port *port);
/* The same, or something is left to tell. */
bool share_port_is_telling(const struct share_port *port);
/* The same, or the agent was asked to be quiet and has not said it behind all of that. */
bool share_port_has_news(const struct share_port *port);
/* Goes on with requests that waited for output to drain. */
int share_port_continue(struct share_port *port, struct err *err);

/* Asks the agent to hold back new requests, or to go on. `quiesced` tells when it has. */
void share_port_quiesce(struct share_port *port);
void share_port_resume(struct share_port *port);
