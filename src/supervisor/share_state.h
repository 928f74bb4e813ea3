#pragma once
/*
 * The share server's memory beyond its own life: a file, in practice anonymous memory that the
 * supervisor owns, with the journals of all shares and the nonces of the link. A server started on
 * it goes on as the last one, whether that was killed or the machine was suspended.
 *
 * Layout, in this machine's byte order: a header, and from header.start to the end blocks of one
 * share's journal each. When the journal has grown a snapshot is appended and header.start moved to
 * it in one write; what lies before is given back. A crash at any point leaves one or the other.
 */
#include "base/buf.h"
#include "base/err.h"
#include "share/share.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct share_state {
	int fd; /* lent; -1: nothing is kept */
	off_t start;
	off_t end;
	off_t compact_at;
	uint64_t heard;	 /* nonce of the last server the agent has surely heard, or 0 */
	uint64_t unsure; /* of one after it that it may have heard, or 0 */
	bool untold;	 /* the journals may say that the guest was told what it was not */
};

/* Reads the header. An empty file is a new state. */
int share_state_open(struct share_state *state, int fd, struct err *err);

/* Loads what is kept of a share (perhaps nothing) into a new one and starts its journal. */
int share_state_load(struct share_state *state, struct share *share, uint32_t number,
		     struct err *err);

/* Notes the nonce we are about to say, and that it was heard. */
int share_state_say(struct share_state *state, uint64_t nonce, struct err *err);
int share_state_heard(struct share_state *state, uint64_t nonce, struct err *err);

/* Notes, when it is another one, whether news are on their way to the guest; before the share that
 * has them is kept. */
int share_state_untold(struct share_state *state, bool untold, struct err *err);

/* Keeps what the share has to say; before any answer of it leaves. */
int share_state_keep(struct share_state *state, struct share *share, uint32_t number,
		     struct err *err);

/* Whether share_state_compact, with all shares by number, is worth it now. */
bool share_state_grown(const struct share_state *state);
int share_state_compact(struct share_state *state, struct share *const *shares, uint32_t count,
			struct err *err);
