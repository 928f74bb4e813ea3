#pragma once
/*
 * Inside the mux: the structs, and what its files ask of each other. Only mux*.c includes it.
 *
 *	mux.c		the link: reading frames, HELLO, resync, errors, ends of channels
 *	mux_control.c	channel 0: requests, replies, pings, GOAWAY
 *	mux_channel.c	one channel: what its owner calls, what its frames do
 *	mux_output.c	queues and the order in which frames leave
 *
 * `events` counts the callbacks that are running: while there are any, no channel is freed.
 */
#include "base/buf.h"
#include "base/list.h"
#include "wire/frame.h"
#include "wire/msg.h"
#include "wire/mux.h"

#define MUX_OUTPUT_TARGET 32768 /* frames are made until this much waits for the link */
#define MUX_CREDIT_STEP	  (PROTO_WINDOW / 16) /* credit is given in steps, not byte by byte */
#define MUX_REQUESTS_MAX  (64u << 10)	      /* requests queued on one channel */
#define MUX_OUT_MAX	  (256u << 10)	      /* a resync run, a HELLO and the target fit well */
#define MUX_REASON_MAX	  (8 + PROTO_TEXT_MAX)
#define MUX_PING_MAX	  64
#define MUX_QUEUE_MAX	  ((size_t)PROTO_WINDOW * 4) /* mux_output.c says why it suffices */

enum mux_state {
	MUX_NEW,     /* before the peer's HELLO, or after a resync run */
	MUX_READY,   /* it came and was accepted */
	MUX_STOPPED, /* failed or lost: nothing is read or queued any more */
};

struct mux {
	enum mux_side side;
	const struct mux_events *ops;
	void *ctx;

	enum mux_state state;
	uint16_t version;
	struct mux_hello hello; /* ours, to give it again after a resync */
	bool allow_resync;
	struct err error;

	bool hunting;	/* we restarted: all before the peer's answer to our HELLO is stale */
	bool in_run;	/* inside a resync run, or (hunting) looking for one */
	size_t zeros;	/* in a row, while in_run */
	bool after_run; /* a run ended: its HELLO is to come */
	uint8_t in[PROTO_FRAME_MAX];
	size_t in_length; /* of a frame that is not whole yet */

	struct list channels; /* struct mux_channel.link */
	struct list ready;    /* struct mux_channel.ready: has something to send, in turn */
	struct list gone;     /* struct mux_channel.link: wait for `closed` and free */
	size_t count;	      /* of `channels` */
	uint32_t last_ours;   /* highest id opened so far by us, by the peer */
	uint32_t last_theirs;
	unsigned int events;

	struct buf control; /* encoded frames that go before the channels' */
	struct buf out;	    /* encoded frames on their way out */
	size_t out_partial; /* rest of the frame at the front of `out` that was begun */
	bool goaway_left;   /* nothing is sent after a GOAWAY */
};

struct mux_channel {
	struct mux *mux;
	const struct mux_channel_ops *ops;
	void *user;
	uint32_t id;
	struct list link;
	struct list ready;

	bool ours;	  /* we opened it */
	bool announced;	  /* ours: its OPEN left */
	bool accepted;	  /* ours: by the peer; theirs: by us */
	bool ended;	  /* mux_close or mux_reject was called; no events but `closed` */
	bool close_left;  /* our CLOSE left */
	bool peer_closed; /* the peer's CLOSE came */
	bool eof, exited; /* queued by us */
	bool peer_eof, peer_exited;
	bool lost;
	bool is_gone;

	uint32_t window;     /* DATA we may still queue */
	uint32_t unsent;     /* DATA in `queue` */
	uint32_t unconsumed; /* DATA that came and that the owner has not consumed */
	uint32_t credit;     /* consumed, not yet told to the peer */

	/* Records in the order of the calls, see mux_output.c. */
	struct buf queue;
	uint64_t taken; /* bytes ever taken from the front of `queue` */
	uint64_t tail;	/* place of the last record, counted the same way */
	bool tail_data; /* it is DATA and may be extended */
	size_t requests;
};

/* mux.c */
/* The peer broke the protocol: says so to it and to the caller, and stops. Returns -1. */
int mux_fail(struct mux *mux, struct err *err, const char *format, ...) PRINTF_LIKE(3, 4);
void mux_goaway_now(struct mux *mux, enum proto_reject code, const char *text);
/* u32 code, string text (cut to its limit): the payload of REJECT and GOAWAY. */
void mux_write_reason(struct buf *buf, enum proto_reject code, const char *text);
/* Takes the channel out of everything; `closed` follows as soon as no event is running. */
void mux_channel_gone(struct mux_channel *channel, bool lost);
void mux_reap(struct mux *mux);

/* mux_control.c */
int mux_control_frame(struct mux *mux, const struct frame *frame, const uint8_t *payload,
		      struct err *err);

/* mux_channel.c */
struct mux_channel *mux_channel_new(struct mux *mux, uint32_t id, bool ours);
void mux_channel_free(struct mux_channel *channel);
/* A frame for a channel other than 0. */
int mux_channel_frame(struct mux *mux, const struct frame *frame, const uint8_t *payload,
		      struct err *err);

/* mux_output.c */
void mux_queue_data(struct mux_channel *channel, uint8_t flags, const uint8_t *bytes,
		    size_t length);
void mux_queue_record(struct mux_channel *channel, enum proto_type type, const void *payload,
		      size_t length);
void mux_schedule(struct mux_channel *channel);
/* A frame ahead of the channels'. -1: the control queue is full. */
int mux_queue_control(struct mux *mux, enum proto_type type, uint32_t channel, const void *payload,
		      size_t length);
/* Directly behind what is on its way out already: HELLO and the last GOAWAY. */
void mux_output_now(struct mux *mux, enum proto_type type, const void *payload, size_t length);
void mux_output_run(struct mux *mux);
/* Drops what is queued, but for the rest of a frame that was begun. */
void mux_output_drop(struct mux *mux);
