/*
 * Theory of operation. This file is the link: it cuts the bytes into frames, negotiates, serves
 * channel 0 and hands the rest to mux_channel.c. A frame is looked at only when its end byte is
 * there, so half a frame never has an effect.
 *
 * Restarting inside the stream. A side that comes to a link which may stand inside a frame (an
 * agent restarted as a service) sends PROTO_RESYNC_RUN zeros and HELLO. The other one
 * (mux_allow_resync) was reading either a header, which the zeros spoil or leave as it was; or a
 * payload, which the zeros complete and which then ends in 0 instead of PROTO_FRAME_END; or
 * nothing. Each way it notices, drops that frame, closes all channels as lost, forgets a GOAWAY of
 * its own, skips zeros up to HELLO and answers with a run and a HELLO of its own, behind the frame
 * it was sending. The restarted side in turn hunts: it drops everything until a whole run, which no
 * frames can contain, is followed by a HELLO that answers its own. The field `answers` (the uptime
 * in the HELLO answered) keeps an answer to an earlier restart, still in the pipe, from being taken
 * for it.
 */
#include "wire/mux_internal.h"

#include "base/mem.h"
#include "base/safe_text.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define HELLO_MAX 256

static_assert(PROTO_RESYNC_RUN > PROTO_PAYLOAD_MAX + PROTO_FRAME_HEADER,
	      "no frames contain a whole run of zeros");

struct mux *mux_new(enum mux_side side, const struct mux_events *events, void *ctx)
{
	struct mux *mux = xcalloc(1, sizeof(*mux));

	mux->side = side;
	mux->ops = events;
	mux->ctx = ctx;
	list_init(&mux->channels);
	list_init(&mux->ready);
	list_init(&mux->gone);
	buf_init(&mux->control, PROTO_CONTROL_QUEUE_MAX);
	buf_init(&mux->out, MUX_OUT_MAX);
	return mux;
}

void mux_free(struct mux *mux)
{
	if (!mux)
		return;
	assert(mux->events == 0);
	mux_lose(mux);
	buf_done(&mux->control);
	buf_done(&mux->out);
	free(mux);
}

void mux_channel_gone(struct mux_channel *channel, bool lost)
{
	if (channel->is_gone)
		return;
	channel->is_gone = true;
	channel->lost = lost;
	channel->mux->count--;
	list_remove(&channel->ready);
	list_remove(&channel->link);
	list_append(&channel->mux->gone, &channel->link);
}

void mux_reap(struct mux *mux)
{
	while (mux->events == 0 && !list_empty(&mux->gone)) {
		struct mux_channel *channel = list_entry(mux->gone.next, struct mux_channel, link);

		list_remove(&channel->link);
		mux->events++;
		if (channel->ops->closed)
			channel->ops->closed(channel, channel->lost);
		mux->events--;
		mux_channel_free(channel);
	}
}

static void lose_channels(struct mux *mux)
{
	list_each(link, next, &mux->channels)
		mux_channel_gone(list_entry(link, struct mux_channel, link), true);
}

void mux_lose(struct mux *mux)
{
	mux->state = MUX_STOPPED;
	lose_channels(mux);
	mux->out_partial = 0;
	mux_output_drop(mux);
	mux_reap(mux);
}

bool mux_ready(const struct mux *mux)
{
	return mux->state == MUX_READY;
}

uint16_t mux_version(const struct mux *mux)
{
	return mux->version;
}

void mux_write_reason(struct buf *buf, enum proto_reject code, const char *text)
{
	char cut[PROTO_TEXT_MAX + 1];

	(void)snprintf(cut, sizeof(cut), "%s", text ? text : "");
	(void)msg_write_u32(buf, (uint32_t)code);
	(void)msg_write_string(buf, cut);
}

void mux_goaway_now(struct mux *mux, enum proto_reject code, const char *text)
{
	auto_buf struct buf payload;

	buf_init(&payload, MUX_REASON_MAX);
	if (mux->goaway_left)
		return;
	mux_write_reason(&payload, code, text);
	mux_output_now(mux, PROTO_GOAWAY, buf_data(&payload), buf_length(&payload));
	mux->goaway_left = true;
}

static int stop(struct mux *mux, enum proto_reject code, struct err *err)
{
	mux_goaway_now(mux, code, mux->error.text);
	mux->state = MUX_STOPPED;
	*err = mux->error;
	return -1;
}

int mux_fail(struct mux *mux, struct err *err, const char *format, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	(void)err_set(&mux->error, ERR_PROTOCOL, "protocol violation: %s", what);
	return stop(mux, PROTO_VIOLATION, err);
}

static void output_hello(struct mux *mux, uint64_t answers)
{
	auto_buf struct buf payload;

	buf_init(&payload, HELLO_MAX);
	(void)msg_write_u64(&payload, PROTO_MAGIC);
	(void)msg_write_u16(&payload, mux->hello.version_min);
	(void)msg_write_u16(&payload, mux->hello.version_max);
	(void)msg_write_u32(&payload, mux->hello.features);
	(void)buf_append(&payload, mux->hello.boot_nonce, sizeof(mux->hello.boot_nonce));
	(void)msg_write_u64(&payload, mux->hello.uptime_ns);
	(void)msg_write_u64(&payload, answers);
	(void)msg_write_string(&payload, mux->hello.program);
	mux_output_now(mux, PROTO_HELLO, buf_data(&payload), buf_length(&payload));
}

void mux_start(struct mux *mux, const struct mux_hello *hello, bool resync)
{
	mux->hello = *hello;
	mux->hello.version_min = PROTO_VERSION_MIN;
	mux->hello.version_max = PROTO_VERSION;
	mux->hello.program[sizeof(mux->hello.program) - 1] = '\0';
	mux->hunting = resync;
	mux->in_run = resync;
	if (resync)
		mux_output_run(mux);
	output_hello(mux, 0);
}

void mux_allow_resync(struct mux *mux)
{
	mux->allow_resync = true;
}

/* The stream does not go on with a frame; `last` is the byte that showed it. */
static int lost_place(struct mux *mux, uint8_t last, struct err *err)
{
	if (!mux->hunting && (!mux->allow_resync || last != 0))
		return mux_fail(mux, err, "bytes that are no frame");
	if (!mux->hunting) {
		lose_channels(mux);
		mux_output_drop(mux);
		mux->state = MUX_NEW;
		mux->goaway_left = false;
		mux->last_ours = 0;
		mux->last_theirs = 0;
	}
	mux->in_run = true;
	mux->zeros = 0;
	return 0;
}

static int negotiate(struct mux *mux, const struct mux_hello *hello, struct err *err)
{
	auto_free char *program = safe_text(hello->program, strlen(hello->program), SAFE_TEXT_LINE);

	if (hello->version_min > hello->version_max)
		return mux_fail(mux, err, "HELLO with versions %u to %u", hello->version_min,
				hello->version_max);
	if (hello->version_max < mux->hello.version_min ||
	    hello->version_min > mux->hello.version_max) {
		(void)err_set(
		    &mux->error, ERR_PROTOCOL,
		    "no protocol version in common: %s speaks %u to %u, %s speaks %u to %u; "
		    "update the older one",
		    mux->hello.program, mux->hello.version_min, mux->hello.version_max, program,
		    hello->version_min, hello->version_max);
		return stop(mux, PROTO_VERSION_MISMATCH, err);
	}
	mux->version = hello->version_max < mux->hello.version_max ? hello->version_max
								   : mux->hello.version_max;
	mux->state = MUX_READY;
	mux->events++;
	if (mux->ops->hello)
		mux->ops->hello(mux->ctx, hello);
	mux->events--;
	return 0;
}

static int on_hello(struct mux *mux, struct msg_reader *reader, struct err *err)
{
	struct mux_hello hello = {.version_min = 0};
	uint64_t magic = msg_read_u64(reader);
	uint64_t answers;
	auto_free char *program = NULL;
	bool after_run = mux->after_run;

	hello.version_min = msg_read_u16(reader);
	hello.version_max = msg_read_u16(reader);
	hello.features = msg_read_u32(reader);
	msg_read_bytes(reader, hello.boot_nonce, sizeof(hello.boot_nonce));
	hello.uptime_ns = msg_read_u64(reader);
	answers = msg_read_u64(reader);
	program = msg_read_string(reader, sizeof(hello.program) - 1);
	if (mux->hunting) {
		if (!program || magic != PROTO_MAGIC || answers != mux->hello.uptime_ns)
			return lost_place(mux, 0, err);
		mux->hunting = false;
		after_run = false;
	}
	if (!program || magic != PROTO_MAGIC)
		return mux_fail(mux, err, "a malformed HELLO");
	(void)snprintf(hello.program, sizeof(hello.program), "%s", program);
	mux->after_run = false;
	if (after_run) {
		mux_output_run(mux);
		output_hello(mux, hello.uptime_ns);
	}
	return negotiate(mux, &hello, err);
}

/* A whole frame. */
static int on_frame(struct mux *mux, const struct frame *frame, const uint8_t *payload,
		    struct err *err)
{
	bool may_be_channel = (frame->type >= PROTO_OPEN && frame->type <= PROTO_CLOSE) ||
			      frame->type == PROTO_REQUEST;
	struct msg_reader reader;

	if (mux->hunting && frame->type != PROTO_HELLO)
		return lost_place(mux, 0, err);
	if (frame->flags & (frame->type == PROTO_DATA ? ~PROTO_DATA_STDERR : ~0))
		return mux_fail(mux, err, "unknown flags on a frame of type %u", frame->type);
	if (mux->state != MUX_READY && frame->channel == 0 && frame->type == PROTO_HELLO) {
		msg_read_from(&reader, payload, frame->length);
		return on_hello(mux, &reader, err);
	}
	if (mux->state != MUX_READY && (frame->channel != 0 || frame->type != PROTO_GOAWAY))
		return mux_fail(mux, err, "a frame of type %u before HELLO", frame->type);
	if (frame->channel == 0)
		return mux_control_frame(mux, frame, payload, err);
	if (!may_be_channel)
		return mux_fail(mux, err, "a frame of type %u on a channel", frame->type);
	return mux_channel_frame(mux, frame, payload, err);
}

/* Zeros of a run; hunting, whatever comes before a whole run. Returns what was used. */
static size_t skip_run(struct mux *mux, const uint8_t *bytes, size_t length)
{
	size_t used = 0;

	while (used < length && mux->in_run) {
		if (bytes[used] == 0) {
			mux->zeros++;
			used++;
		} else if (mux->zeros >= (mux->hunting ? PROTO_RESYNC_RUN : PROTO_FRAME_HEADER)) {
			mux->in_run = false;
			mux->after_run = true;
		} else if (mux->hunting) {
			mux->zeros = 0;
			used++;
		} else {
			break;
		}
	}
	return used;
}

/* Fills mux->in up to `want` bytes. Returns what was used. */
static size_t gather(struct mux *mux, const uint8_t *bytes, size_t length, size_t want)
{
	size_t part = want > mux->in_length ? want - mux->in_length : 0;

	if (part > length)
		part = length;
	memcpy(mux->in + mux->in_length, bytes, part);
	mux->in_length += part;
	return part;
}

/* Takes bytes up to the end of the frame they belong to; a frame that lies there whole is used
 * where it lies. */
static int feed_frame(struct mux *mux, const uint8_t *bytes, size_t length, size_t *ret_used,
		      struct err *err)
{
	const uint8_t *start = bytes;
	struct frame frame;
	size_t total;

	*ret_used = 0;
	if (mux->in_length > 0 || length < PROTO_FRAME_HEADER) {
		*ret_used = gather(mux, bytes, length, PROTO_FRAME_HEADER);
		if (mux->in_length < PROTO_FRAME_HEADER)
			return 0;
		start = mux->in;
	}
	if (!frame_decode(start, PROTO_PAYLOAD_MAX, &frame)) {
		if (start == bytes)
			*ret_used = PROTO_FRAME_HEADER;
		mux->in_length = 0;
		return lost_place(mux, start[PROTO_FRAME_HEADER - 1], err);
	}
	total = PROTO_FRAME_HEADER + frame.length + 1;
	if (start == bytes && length >= total) {
		*ret_used = total;
	} else {
		*ret_used += gather(mux, bytes + *ret_used, length - *ret_used, total);
		if (mux->in_length < total)
			return 0;
		start = mux->in;
		mux->in_length = 0;
	}
	if (start[total - 1] != PROTO_FRAME_END)
		return lost_place(mux, start[total - 1], err);
	return on_frame(mux, &frame, start + PROTO_FRAME_HEADER, err);
}

int mux_feed(struct mux *mux, const void *bytes, size_t length, struct err *err)
{
	const uint8_t *at = bytes;

	assert(mux->hello.version_max != 0); /* mux_start comes first */
	while (length > 0 && mux->state != MUX_STOPPED) {
		size_t used;
		int result = 0;

		if (mux->in_run) {
			used = skip_run(mux, at, length);
			if (used < length && mux->in_run)
				result = mux_fail(mux, err, "bytes that are no frame");
		} else {
			result = feed_frame(mux, at, length, &used, err);
		}
		mux_reap(mux);
		if (result < 0)
			return -1;
		at += used;
		length -= used;
	}
	if (mux->error.code != ERR_NONE) {
		*err = mux->error;
		return -1;
	}
	return 0;
}
