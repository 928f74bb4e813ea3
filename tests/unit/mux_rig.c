#include "unit/mux_rig.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RIG_LOG_MAX (1u << 20)

void rig_note(struct rig *rig, const char *format, ...)
{
	auto_free char *line = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&line, format, ap) < 0)
		abort();
	va_end(ap);
	(void)buf_printf(&rig->log, "%s%s", buf_length(&rig->log) > 0 ? "; " : "", line);
}

/* Short printable payloads are shown, others only counted. */
static const char *rig_show(const uint8_t *bytes, size_t length)
{
	static char text[64];
	bool printable = length <= 40;

	for (size_t i = 0; printable && i < length; i++)
		printable = bytes[i] >= ' ' && bytes[i] < 127;
	if (printable)
		(void)snprintf(text, sizeof(text), "'%.*s'", (int)length, (const char *)bytes);
	else
		(void)snprintf(text, sizeof(text), "(%zu)", length);
	return text;
}

static struct rig *rig_of(struct mux_channel *channel)
{
	return mux_user(channel);
}

static void rig_hook(struct mux_channel *channel, const char *event)
{
	struct rig *rig = rig_of(channel);

	if (rig->hook)
		rig->hook(rig, channel, event);
}

static void rig_accepted(struct mux_channel *channel, const uint8_t *payload, size_t length)
{
	rig_note(rig_of(channel), "accepted %u %s", mux_channel_id(channel),
		 rig_show(payload, length));
	rig_hook(channel, "accepted");
}

static void rig_rejected(struct mux_channel *channel, uint32_t code, const char *text)
{
	rig_note(rig_of(channel), "rejected %u %u %s", mux_channel_id(channel), code, text);
	rig_hook(channel, "rejected");
}

static void rig_data(struct mux_channel *channel, uint8_t flags, const uint8_t *bytes,
		     size_t length)
{
	rig_note(rig_of(channel), "data%s %u %s", flags ? "/err" : "", mux_channel_id(channel),
		 rig_show(bytes, length));
	if (rig_of(channel)->consume)
		mux_consume(channel, (uint32_t)length);
	rig_hook(channel, "data");
}

static void rig_eof(struct mux_channel *channel)
{
	rig_note(rig_of(channel), "eof %u", mux_channel_id(channel));
	rig_hook(channel, "eof");
}

static void rig_exit(struct mux_channel *channel, enum proto_exit how, uint32_t value)
{
	rig_note(rig_of(channel), "exit %u %u %u", mux_channel_id(channel), how, value);
	rig_hook(channel, "exit");
}

static void rig_channel_request(struct mux_channel *channel, uint32_t id, uint16_t what,
				const uint8_t *payload, size_t length)
{
	rig_note(rig_of(channel), "request %u %u %u %s", mux_channel_id(channel), id, what,
		 rig_show(payload, length));
	rig_hook(channel, "request");
}

static void rig_credit(struct mux_channel *channel, uint32_t bytes)
{
	rig_note(rig_of(channel), "credit %u %u", mux_channel_id(channel), bytes);
	rig_hook(channel, "credit");
}

static void rig_closing(struct mux_channel *channel)
{
	rig_note(rig_of(channel), "closing %u", mux_channel_id(channel));
	if (!rig_of(channel)->hold_closing)
		mux_close(channel);
	rig_hook(channel, "closing");
}

static void rig_closed(struct mux_channel *channel, bool lost)
{
	rig_note(rig_of(channel), "%s %u", lost ? "lost" : "closed", mux_channel_id(channel));
	rig_hook(channel, "closed");
}

const struct mux_channel_ops rig_channel_ops = {
    .accepted = rig_accepted,
    .rejected = rig_rejected,
    .data = rig_data,
    .eof = rig_eof,
    .exit = rig_exit,
    .request = rig_channel_request,
    .credit = rig_credit,
    .closing = rig_closing,
    .closed = rig_closed,
};

static void rig_hello(void *ctx, const struct mux_hello *hello)
{
	rig_note(ctx, "hello %s", hello->program);
}

static void rig_open(void *ctx, struct mux_channel *channel, uint16_t kind, uint32_t length)
{
	struct rig *rig = ctx;

	rig_note(rig, "open %u %u %u", mux_channel_id(channel), kind, length);
	mux_set_ops(channel, &rig_channel_ops, rig);
	rig->last = channel;
	if (!rig->hold_open)
		mux_accept(channel, NULL, 0);
	rig_hook(channel, "open");
}

static void rig_request(void *ctx, uint32_t id, uint16_t what, const uint8_t *payload,
			size_t length)
{
	rig_note(ctx, "request %u %u %s", id, what, rig_show(payload, length));
}

static void rig_reply(void *ctx, uint32_t id, uint32_t code, const uint8_t *payload, size_t length)
{
	rig_note(ctx, "reply %u %u %s", id, code, rig_show(payload, length));
}

static void rig_pong(void *ctx, const uint8_t *payload, size_t length)
{
	rig_note(ctx, "pong %s", rig_show(payload, length));
}

static void rig_goaway(void *ctx, uint32_t code, const char *text)
{
	rig_note(ctx, "goaway %u %s", code, text);
}

static const struct mux_events rig_events = {
    .hello = rig_hello,
    .open = rig_open,
    .request = rig_request,
    .reply = rig_reply,
    .pong = rig_pong,
    .goaway = rig_goaway,
};

void rig_init_raw(struct rig *rig, enum mux_side side)
{
	*rig = (struct rig){.consume = true};
	buf_init(&rig->log, RIG_LOG_MAX);
	buf_init(&rig->out, RIG_LOG_MAX);
	buf_init(&rig->stream, 64u << 20);
	rig->mux = mux_new(side, &rig_events, rig);
}

void rig_done(struct rig *rig)
{
	mux_free(rig->mux);
	buf_done(&rig->log);
	buf_done(&rig->out);
	buf_done(&rig->stream);
}

/* The events since the last call, "; " between them. Valid until the next. */
const char *rig_log(struct rig *rig)
{
	static char text[RIG_LOG_MAX + 1];

	(void)snprintf(text, sizeof(text), "%.*s", (int)buf_length(&rig->log),
		       (const char *)buf_data(&rig->log));
	buf_clear(&rig->log);
	return text;
}

/* Takes from the mux what it wants to send, in pieces of at most `piece` bytes. */
void rig_pull(struct rig *rig, size_t piece)
{
	const uint8_t *bytes;
	size_t length;

	while ((length = mux_output(rig->mux, &bytes)) > 0) {
		if (length > piece)
			length = piece;
		if (buf_append(&rig->stream, bytes, length) < 0)
			abort();
		mux_sent(rig->mux, length);
	}
}

static const char *rig_type(uint8_t type)
{
	static const char *const names[PROTO_TYPE_COUNT] = {
	    "ZEROS", "HELLO", "OPEN",	 "ACCEPT", "REJECT", "DATA", "CREDIT", "EOF",
	    "EXIT",  "CLOSE", "REQUEST", "REPLY",  "PING",   "PONG", "GOAWAY"};

	return type < PROTO_TYPE_COUNT ? names[type] : "?";
}

static void rig_render(struct rig *rig, const struct frame *frame, const uint8_t *payload)
{
	struct msg_reader reader;

	if (buf_length(&rig->out) > 0)
		(void)buf_append_string(&rig->out, "; ");
	(void)buf_printf(&rig->out, "%s%s", rig_type(frame->type), frame->flags ? "/err" : "");
	if (frame->channel != 0)
		(void)buf_printf(&rig->out, " %u", frame->channel);
	msg_read_from(&reader, payload, frame->length);
	if (frame->type == PROTO_CREDIT) {
		(void)buf_printf(&rig->out, " %u", msg_read_u32(&reader));
	} else if (frame->type == PROTO_REJECT || frame->type == PROTO_GOAWAY) {
		uint32_t code = msg_read_u32(&reader);
		auto_free char *text = msg_read_string(&reader, PROTO_TEXT_MAX);

		(void)buf_printf(&rig->out, " %u %s", code, text ? text : "(malformed)");
	} else if (frame->type == PROTO_REQUEST) {
		uint32_t id = msg_read_u32(&reader);
		uint32_t what = msg_read_u16(&reader);

		(void)buf_printf(&rig->out, " %u %u %s", id, what,
				 rig_show(reader.at, reader.left));
	} else if (frame->type == PROTO_REPLY) {
		uint32_t id = msg_read_u32(&reader);
		uint32_t code = msg_read_u32(&reader);

		(void)buf_printf(&rig->out, " %u %u %s", id, code,
				 rig_show(reader.at, reader.left));
	} else if (frame->type == PROTO_EXIT) {
		uint32_t how = msg_read_u8(&reader);

		(void)buf_printf(&rig->out, " %u %u", how, msg_read_u32(&reader));
	} else if (frame->length > 0 && frame->type != PROTO_HELLO && frame->type != PROTO_OPEN) {
		(void)buf_printf(&rig->out, " %s", rig_show(payload, frame->length));
	}
}

/* What the mux sent since the last call, a frame a word. Valid until the next. */
const char *rig_output(struct rig *rig)
{
	static char text[RIG_LOG_MAX + 1];
	struct frame frame;

	rig_pull(rig, SIZE_MAX);
	buf_clear(&rig->out);
	while (buf_length(&rig->stream) > 0) {
		const uint8_t *at = buf_data(&rig->stream);
		size_t zeros = 0;
		size_t total;

		while (zeros < buf_length(&rig->stream) && at[zeros] == 0)
			zeros++;
		if (zeros > 0) {
			(void)buf_printf(&rig->out, "%sZEROS %zu",
					 buf_length(&rig->out) > 0 ? "; " : "", zeros);
			buf_consume(&rig->stream, zeros);
			continue;
		}
		if (buf_length(&rig->stream) < PROTO_FRAME_HEADER ||
		    !frame_decode(at, PROTO_PAYLOAD_MAX, &frame)) {
			(void)buf_append_string(&rig->out, "; NO FRAME");
			break;
		}
		total = PROTO_FRAME_HEADER + frame.length + 1;
		if (buf_length(&rig->stream) < total || at[total - 1] != PROTO_FRAME_END) {
			(void)buf_append_string(&rig->out, "; CUT FRAME");
			break;
		}
		rig_render(rig, &frame, at + PROTO_FRAME_HEADER);
		buf_consume(&rig->stream, total);
	}
	buf_clear(&rig->stream);
	(void)snprintf(text, sizeof(text), "%.*s", (int)buf_length(&rig->out),
		       (const char *)buf_data(&rig->out));
	return text;
}

/* A frame as bytes, appended. */
void frame_append(struct buf *buf, uint8_t type, uint8_t flags, uint32_t channel,
		  const void *payload, size_t length)
{
	struct frame frame = {type, flags, channel, (uint32_t)length};
	uint8_t header[PROTO_FRAME_HEADER];

	frame_encode(&frame, header);
	if (buf_append(buf, header, sizeof(header)) < 0 || buf_append(buf, payload, length) < 0 ||
	    buf_append(buf, (const uint8_t[]){PROTO_FRAME_END}, 1) < 0)
		abort();
}

int rig_feed(struct rig *rig, uint8_t type, uint8_t flags, uint32_t channel, const void *payload,
	     size_t length)
{
	auto_buf struct buf buf;

	buf_init(&buf, 1u << 20);
	frame_append(&buf, type, flags, channel, payload, length);
	return mux_feed(rig->mux, buf_data(&buf), buf_length(&buf), &rig->err);
}

int rig_feed_text(struct rig *rig, uint8_t type, uint32_t channel, const char *text)
{
	return rig_feed(rig, type, 0, channel, text, strlen(text));
}

int rig_feed_u32(struct rig *rig, uint8_t type, uint32_t channel, uint32_t value)
{
	const uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16),
				  (uint8_t)(value >> 8), (uint8_t)value};

	return rig_feed(rig, type, 0, channel, bytes, 4);
}

int rig_feed_open(struct rig *rig, uint32_t channel, uint32_t length)
{
	const uint8_t bytes[6] = {0,
				  1,
				  (uint8_t)(length >> 24),
				  (uint8_t)(length >> 16),
				  (uint8_t)(length >> 8),
				  (uint8_t)length};

	return rig_feed(rig, PROTO_OPEN, 0, channel, bytes, 6);
}

void hello_append(struct buf *buf, uint16_t min, uint16_t max, uint64_t uptime, uint64_t answers,
		  const char *program)
{
	auto_buf struct buf payload;
	const uint8_t nonce[16] = {1};

	buf_init(&payload, 4096);
	(void)msg_write_u64(&payload, PROTO_MAGIC);
	(void)msg_write_u16(&payload, min);
	(void)msg_write_u16(&payload, max);
	(void)msg_write_u32(&payload, 0);
	(void)buf_append(&payload, nonce, sizeof(nonce));
	(void)msg_write_u64(&payload, uptime);
	(void)msg_write_u64(&payload, answers);
	(void)msg_write_string(&payload, program);
	frame_append(buf, PROTO_HELLO, 0, 0, buf_data(&payload), buf_length(&payload));
}

int rig_feed_hello(struct rig *rig, uint16_t min, uint16_t max)
{
	auto_buf struct buf buf;

	buf_init(&buf, 4096);
	hello_append(&buf, min, max, 7, 0, "peer");
	return mux_feed(rig->mux, buf_data(&buf), buf_length(&buf), &rig->err);
}

/* A mux that has shaken hands; nothing is left to read of that. */
void rig_init(struct rig *rig, enum mux_side side)
{
	const struct mux_hello hello = {.uptime_ns = 42, .program = "rig"};

	rig_init_raw(rig, side);
	mux_start(rig->mux, &hello, false);
	if (rig_feed_hello(rig, 1, 1) < 0)
		abort();
	rig_pull(rig, SIZE_MAX);
	buf_clear(&rig->stream);
	buf_clear(&rig->log);
}
