#pragma once
/*
 * One link with many channels: bytes in, events out; calls in, bytes out. No I/O, no clock, no
 * threads, so that it is tested and fuzzed alone.
 *
 *	bytes read from the link   -> mux_feed      -> events, called from inside mux_feed
 *	mux_send, mux_consume, ... -> mux_output    -> bytes to write, then mux_sent
 *
 * Events may call everything here but mux_feed and mux_free of the same mux; output that they look
 * at is taken (mux_sent) before they return.
 *
 * Credit. Each side may send PROTO_WINDOW bytes of DATA per channel beyond what the other consumed.
 * The sender asks mux_window before mux_send; the receiver calls mux_consume only when the bytes
 * have left its hands (written to the pty, credited by the next hop). Sending more than the window
 * is a protocol error, so no queue in here holds more than a window. Credit is told in steps of a
 * sixteenth of a window: do not wait for all of it to come back.
 *
 * Order. Within a channel everything leaves in the order of the calls (FIFO, EOF, EXIT and CLOSE
 * included), but CREDIT, which goes ahead. Channel 0 first, then the channels in turn, a frame
 * each.
 *
 * Life of a channel. Made by mux_open or by the `open` event (then answered with mux_accept or
 * mux_reject, at once or later); gone after its `closed` event, which comes once, whatever
 * happened: both sides sent CLOSE, or one REJECT, or the link was lost (mux_lose, mux_free, a
 * resync). The mux owns it; pointers are invalid once `closed` returns. `closed` comes from inside
 * mux_feed, mux_sent (our CLOSE or REJECT left last), mux_lose or mux_free. After mux_close only
 * `closed` is still called: what arrives is dropped and credited, and further calls do nothing.
 *
 * HELLO is the first frame in both directions; nothing is sent behind it before the peer's arrived.
 * Errors are the peer's violations: mux_feed returns -1, a GOAWAY is queued, the link is to be
 * closed.
 */
#include "base/err.h"
#include "wire/proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct mux;
struct mux_channel;

enum mux_side {
	MUX_HOST,  /* opens odd channel ids: the client towards the supervisor, the supervisor
		      towards the agent */
	MUX_GUEST, /* opens even ones: the other end of each */
};

struct mux_hello {
	uint16_t version_min; /* set by mux_start */
	uint16_t version_max;
	uint32_t features;	/* a bit set; none defined in version 1 */
	uint8_t boot_nonce[16]; /* agent: new at each boot, kept in RAM only; others: zero */
	uint64_t uptime_ns;	/* sender's clock since its start (the agent: since boot); read it
				   anew for each mux_start: it tells an answer from a stale one */
	char program[64];	/* "dxvm 0.1.0", for people */
};

/* What happens on one channel. Any may be NULL. `data` of a REQUEST/REPLY/DATA is valid during the
 * call only. */
struct mux_channel_ops {
	void (*accepted)(struct mux_channel *channel, const uint8_t *payload, size_t length);
	void (*rejected)(struct mux_channel *channel, uint32_t code, const char *text);
	/* length bytes now count against the window until mux_consume. */
	void (*data)(struct mux_channel *channel, uint8_t flags, const uint8_t *bytes,
		     size_t length);
	void (*eof)(struct mux_channel *channel);
	void (*exit)(struct mux_channel *channel, enum proto_exit how, uint32_t value);
	void (*request)(struct mux_channel *channel, uint32_t id, uint16_t what,
			const uint8_t *payload, size_t length);
	/* The peer consumed `bytes`: mux_window grew by that much. */
	void (*credit)(struct mux_channel *channel, uint32_t bytes);
	/* The peer closed its direction: only `credit` and `closed` follow. The owner calls
	 * mux_close when it has nothing more to send; a missing callback means at once. */
	void (*closing)(struct mux_channel *channel);
	/* The last call. `lost`: the link went, not an orderly close. */
	void (*closed)(struct mux_channel *channel, bool lost);
};

/* What happens on the link. `ctx` is the one given to mux_new. */
struct mux_events {
	/* The peer's HELLO was accepted; the version is the lower of both maxima (mux_version).
	 * Comes again after a resync: all channels were closed (lost) before. */
	void (*hello)(void *ctx, const struct mux_hello *hello);
	/* The peer opens a channel. Call mux_set_ops and, at once or later, mux_accept or
	 * mux_reject. NULL: every OPEN is rejected. */
	void (*open)(void *ctx, struct mux_channel *channel, uint16_t kind, uint32_t length);
	/* On channel 0. id 0: no reply wanted. */
	void (*request)(void *ctx, uint32_t id, uint16_t what, const uint8_t *payload,
			size_t length);
	void (*reply)(void *ctx, uint32_t id, uint32_t code, const uint8_t *payload, size_t length);
	void (*pong)(void *ctx, const uint8_t *payload, size_t length);
	/* The peer is about to close the link. */
	void (*goaway)(void *ctx, uint32_t code, const char *text);
};

struct mux *mux_new(enum mux_side side, const struct mux_events *events, void *ctx);
/* Closes every channel as lost (calls `closed`), then frees. Not from inside an event. */
void mux_free(struct mux *mux);

/* Queues our HELLO, before the first mux_feed. `resync` puts a resync run in front (an agent
 * restarted as a service). */
void mux_start(struct mux *mux, const struct mux_hello *hello, bool resync);
/* Lets the peer restart in the middle of the stream (the supervisor towards an agent). Without it
 * what a resync looks like is a violation. */
void mux_allow_resync(struct mux *mux);

/* Takes all bytes. -1: the peer broke the protocol (ERR_PROTOCOL); flush the output and close. */
int mux_feed(struct mux *mux, const void *bytes, size_t length, struct err *err);

/* Bytes to write now; 0 when there are none. Valid until the next call into the mux, which is best
 * mux_sent with what the link took (or what was copied to be written later). */
size_t mux_output(struct mux *mux, const uint8_t **ret_bytes);
void mux_sent(struct mux *mux, size_t length);
bool mux_has_output(const struct mux *mux);

/* The link is gone: closes all channels as lost. */
void mux_lose(struct mux *mux);
/* Whether the peer's HELLO was seen, and what came of it. */
bool mux_ready(const struct mux *mux);
uint16_t mux_version(const struct mux *mux);
/* Bytes held in queues right now, for tests of boundedness and `status`. */
size_t mux_queued(const struct mux *mux);

/* On the link. A request with id 0 wants no reply. -1 when the control queue is full (a peer that
 * does not read): give the link up. */
int mux_request(struct mux *mux, uint32_t id, enum proto_what what, const void *payload,
		size_t length);
int mux_reply(struct mux *mux, uint32_t id, enum proto_reject code, const void *payload,
	      size_t length);
int mux_ping(struct mux *mux, const void *payload, size_t length);
void mux_goaway(struct mux *mux, enum proto_reject code, const char *text);

/* Opens a channel; description bytes (`length` in all) are then sent with mux_send. NULL with
 * ERR_BUSY when PROTO_CHANNELS_MAX are open, ERR_PROTOCOL before HELLO. */
struct mux_channel *mux_open(struct mux *mux, enum proto_kind kind, uint32_t length,
			     const struct mux_channel_ops *ops, void *user, struct err *err);
void mux_set_ops(struct mux_channel *channel, const struct mux_channel_ops *ops, void *user);
void *mux_user(const struct mux_channel *channel);
struct mux *mux_of(const struct mux_channel *channel);
uint32_t mux_channel_id(const struct mux_channel *channel);

void mux_accept(struct mux_channel *channel, const void *payload, size_t length);
void mux_reject(struct mux_channel *channel, enum proto_reject code, const char *text);

/* How much mux_send would take. */
uint32_t mux_window(const struct mux_channel *channel);
/* length must be at most mux_window; split into frames as needed. */
void mux_send(struct mux_channel *channel, uint8_t flags, const void *bytes, size_t length);
/* Where much data can be put to leave without being copied again: the payloads of the next frames,
 * at most `most` bytes and the window in all, if nothing waits to go before them and the link has
 * room. Returns how many were filled in of MUX_PLACES; 0: mux_send is the way. What is put there,
 * without a gap from the first on, is told with mux_placed, before any other call into the mux; or
 * nothing is, and nothing has happened. */
#define MUX_PLACES 8
int mux_places(struct mux_channel *channel, size_t most, struct iovec *ret_places);
void mux_placed(struct mux_channel *channel, uint8_t flags, size_t length);
void mux_consume(struct mux_channel *channel, uint32_t length);
void mux_eof(struct mux_channel *channel);
void mux_exit(struct mux_channel *channel, enum proto_exit how, uint32_t value);
/* On a channel: no reply wanted. -1 when too many are queued: the caller drops it or closes. */
int mux_channel_request(struct mux_channel *channel, enum proto_what what, const void *payload,
			size_t length);
void mux_close(struct mux_channel *channel);
