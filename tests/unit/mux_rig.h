#pragma once
/*
 * A mux on a bench: its events are written down as lines of text, and the peer is the test itself,
 * which feeds frames made by hand and reads what comes out as lines of text again. So a test says
 * what goes in and what it should look like.
 */
#include "base/buf.h"
#include "wire/frame.h"
#include "wire/msg.h"
#include "wire/mux.h"

struct rig {
	struct mux *mux;
	struct buf log;	   /* events */
	struct buf out;	   /* what rig_output said last */
	struct buf stream; /* bytes that left, not yet made into text */
	bool hold_open;	   /* do not accept at once */
	bool consume;	   /* at once */
	bool hold_closing; /* do not answer CLOSE at once */
	void (*hook)(struct rig *rig, struct mux_channel *channel, const char *event);
	struct mux_channel *last; /* opened last by the peer */
	struct err err;
};

/* A mux before any HELLO; one that has shaken hands and forgot about it. */
void rig_init_raw(struct rig *rig, enum mux_side side);
void rig_init(struct rig *rig, enum mux_side side);
void rig_done(struct rig *rig);
#define auto_rig CLEANUP(rig_done)

/* Writes an event down; the channel events of a rig, for mux_open (user: the rig). */
void rig_note(struct rig *rig, const char *format, ...) PRINTF_LIKE(2, 3);
extern const struct mux_channel_ops rig_channel_ops;

/* The events since the last call; what the mux sent since the last call. "; " stands between two.
 * Valid until the next call. */
const char *rig_log(struct rig *rig);
const char *rig_output(struct rig *rig);
/* Only takes from the mux into rig->stream, in pieces of at most `piece` bytes. */
void rig_pull(struct rig *rig, size_t piece);

/* A whole frame from the peer; what mux_feed returned. */
int rig_feed(struct rig *rig, uint8_t type, uint8_t flags, uint32_t channel, const void *payload,
	     size_t length);
int rig_feed_text(struct rig *rig, uint8_t type, uint32_t channel, const char *text);
int rig_feed_u32(struct rig *rig, uint8_t type, uint32_t channel, uint32_t value);
int rig_feed_open(struct rig *rig, uint32_t channel, uint32_t length);
int rig_feed_hello(struct rig *rig, uint16_t min, uint16_t max);

/* The same as bytes. */
void frame_append(struct buf *buf, uint8_t type, uint8_t flags, uint32_t channel,
		  const void *payload, size_t length);
void hello_append(struct buf *buf, uint16_t min, uint16_t max, uint64_t uptime, uint64_t answers,
		  const char *program);
