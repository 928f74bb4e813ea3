/*
 * The mux, driven by a program read from the input: bytes and frames from the peer, calls of the
 * owner, and how much of the output the link takes. It runs twice, once with every piece of input
 * fed whole and once in small pieces: events and output must be the same. What comes out must be
 * whole frames, nothing behind a GOAWAY, and never more in the queues than the limits of proto.h
 * allow.
 *
 * Input: one byte of settings, then commands of one byte and their arguments.
 */
#include "fuzz_output.h"
#include "wire/frame.h"
#include "wire/msg.h"
#include "wire/mux.h"

#include <stdlib.h>
#include <string.h>

#define CHANNELS   (2 * PROTO_CHANNELS_MAX)
#define QUEUED_MAX (PROTO_CONTROL_QUEUE_MAX + (PROTO_CHANNELS_MAX * 4ull + 2) * PROTO_WINDOW)

enum setting {
	SETTING_GUEST = 1,
	SETTING_RESYNC = 2,
	SETTING_ALLOW_RESYNC = 4,
	SETTING_HOLD_OPEN = 8,
	SETTING_HOLD_DATA = 16,
	SETTING_HOLD_CLOSE = 32,
	SETTING_BUSY = 64,   /* events call into the mux */
	SETTING_HELLO = 128, /* starts with hands shaken */
};

struct input {
	const uint8_t *at;
	size_t left;
};

struct run {
	struct mux *mux;
	bool singly;
	uint8_t settings;
	bool stopped;
	uint64_t events; /* hash */
	struct fuzz_output output;
	struct mux_channel *channels[CHANNELS];
	uint32_t held[CHANNELS];
};

static void note(struct run *run, uint8_t event, uint32_t a, uint32_t b)
{
	hash(&run->events, &event, 1);
	hash(&run->events, &a, sizeof(a));
	hash(&run->events, &b, sizeof(b));
}

static uint32_t *held(struct mux_channel *channel)
{
	struct run *run = mux_user(channel);

	for (size_t i = 0; i < CHANNELS; i++) {
		if (run->channels[i] == channel)
			return &run->held[i];
	}
	abort();
}

/* From inside events: whatever can be called there. */
static void be_busy(struct run *run, struct mux_channel *channel, uint32_t salt)
{
	const uint8_t *bytes;

	if (!(run->settings & SETTING_BUSY))
		return;
	switch (salt % 5) {
	case 0:
		mux_close(channel);
		break;
	case 1:
		mux_send(channel, PROTO_DATA_STDERR, "busy", mux_window(channel) < 4 ? 0 : 4);
		break;
	case 2:
		(void)mux_output(run->mux, &bytes);
		mux_sent(run->mux, 0);
		break;
	case 3:
		(void)mux_channel_request(channel, PROTO_SIGNAL, "1234", 4);
		break;
	default:
		(void)mux_ping(run->mux, "busy", 4);
		break;
	}
}

static void on_accepted(struct mux_channel *channel, const uint8_t *payload, size_t length)
{
	hash(&((struct run *)mux_user(channel))->events, payload, length);
	be_busy(mux_user(channel), channel, (uint32_t)length);
}

static void on_rejected(struct mux_channel *channel, uint32_t code, const char *text)
{
	note(mux_user(channel), 2, code, (uint32_t)strlen(text));
}

static void on_data(struct mux_channel *channel, uint8_t flags, const uint8_t *bytes, size_t length)
{
	struct run *run = mux_user(channel);

	note(run, 3, mux_channel_id(channel), flags);
	hash(&run->events, bytes, length);
	if (run->settings & SETTING_HOLD_DATA) {
		*held(channel) += (uint32_t)length;
		require(*held(channel) <= PROTO_WINDOW);
	} else {
		mux_consume(channel, (uint32_t)length);
	}
	be_busy(run, channel, (uint32_t)length);
}

static void on_eof(struct mux_channel *channel)
{
	note(mux_user(channel), 4, mux_channel_id(channel), 0);
	be_busy(mux_user(channel), channel, 1);
}

static void on_exit_event(struct mux_channel *channel, enum proto_exit how, uint32_t value)
{
	note(mux_user(channel), 5, (uint32_t)how, value);
}

static void on_channel_request(struct mux_channel *channel, uint32_t id, uint16_t what,
			       const uint8_t *payload, size_t length)
{
	note(mux_user(channel), 6, id, what);
	hash(&((struct run *)mux_user(channel))->events, payload, length);
	be_busy(mux_user(channel), channel, what);
}

static void on_credit(struct mux_channel *channel, uint32_t bytes)
{
	note(mux_user(channel), 7, mux_channel_id(channel), bytes);
	require(mux_window(channel) <= PROTO_WINDOW);
}

static void on_closing(struct mux_channel *channel)
{
	struct run *run = mux_user(channel);

	note(run, 8, mux_channel_id(channel), 0);
	if (!(run->settings & SETTING_HOLD_CLOSE))
		mux_close(channel);
}

static void on_closed(struct mux_channel *channel, bool lost)
{
	struct run *run = mux_user(channel);

	note(run, 9, mux_channel_id(channel), lost);
	*held(channel) = 0;
	for (size_t i = 0; i < CHANNELS; i++) {
		if (run->channels[i] == channel)
			run->channels[i] = NULL;
	}
}

static const struct mux_channel_ops channel_ops = {
    .accepted = on_accepted,
    .rejected = on_rejected,
    .data = on_data,
    .eof = on_eof,
    .exit = on_exit_event,
    .request = on_channel_request,
    .credit = on_credit,
    .closing = on_closing,
    .closed = on_closed,
};

static void keep(struct run *run, struct mux_channel *channel)
{
	size_t i = 0;

	while (i < CHANNELS && run->channels[i])
		i++;
	require(i < CHANNELS);
	run->channels[i] = channel;
}

static void on_hello(void *ctx, const struct mux_hello *hello)
{
	struct run *run = ctx;

	require(strlen(hello->program) < sizeof(hello->program));
	for (size_t i = 0; i < CHANNELS; i++)
		require(!run->channels[i]);
	note(run, 10, hello->version_min, hello->version_max);
}

static void on_open(void *ctx, struct mux_channel *channel, uint16_t kind, uint32_t length)
{
	struct run *run = ctx;

	require(length <= PROTO_OPEN_MAX);
	note(run, 11, kind, length);
	keep(run, channel);
	mux_set_ops(channel, &channel_ops, run);
	if (length == 13)
		mux_reject(channel, PROTO_FAILED, "thirteen");
	else if (!(run->settings & SETTING_HOLD_OPEN))
		mux_accept(channel, "yes", 3);
}

static void on_request(void *ctx, uint32_t id, uint16_t what, const uint8_t *payload, size_t length)
{
	struct run *run = ctx;

	note(run, 12, id, what);
	if (id != 0)
		(void)mux_reply(run->mux, id, PROTO_UNKNOWN, payload, length < 100 ? length : 100);
}

static void on_reply(void *ctx, uint32_t id, uint32_t code, const uint8_t *payload, size_t length)
{
	note(ctx, 13, id, code);
	hash(&((struct run *)ctx)->events, payload, length);
}

static const struct mux_events events = {
    .hello = on_hello,
    .open = on_open,
    .request = on_request,
    .reply = on_reply,
};

static void pull(struct run *run, size_t most)
{
	const uint8_t *bytes;
	size_t length = mux_output(run->mux, &bytes);

	require((length > 0) == mux_has_output(run->mux));
	if (length > most)
		length = most;
	for (size_t i = 0; i < length; i++)
		fuzz_output_take(&run->output, bytes[i]);
	mux_sent(run->mux, length);
}

/* Singly: byte by byte near both ends, where headers and end bytes are. */
static void feed(struct run *run, const uint8_t *bytes, size_t length)
{
	struct err err;

	for (size_t at = 0, part; at < length && !run->stopped; at += part) {
		part = run->singly ? 1 : length;
		if (run->singly && at == 40 && length > 100)
			part = length - 80;
		run->stopped = mux_feed(run->mux, bytes + at, part, &err) < 0;
	}
	require(mux_queued(run->mux) <= QUEUED_MAX);
}

static uint32_t take(struct input *input, size_t size)
{
	uint32_t value = 0;

	for (size_t i = 0; i < size; i++) {
		value = value << 8 | (input->left > 0 ? *input->at : 0);
		if (input->left > 0) {
			input->at++;
			input->left--;
		}
	}
	return value;
}

/* A sound frame, its payload from the input and then zeros up to the length asked for. */
static void feed_frame(struct run *run, struct input *input)
{
	static uint8_t bytes[PROTO_FRAME_MAX];
	struct frame frame = {.type = (uint8_t)take(input, 1), .flags = (uint8_t)take(input, 1)};
	size_t given;

	frame.channel = take(input, 1);
	given = take(input, 1);
	frame.length = take(input, 2) % (PROTO_PAYLOAD_MAX + 1);
	frame_encode(&frame, bytes);
	given = given < input->left ? given : input->left;
	given = given < frame.length ? given : frame.length;
	memset(bytes + PROTO_FRAME_HEADER, 0, frame.length);
	if (given > 0)
		memcpy(bytes + PROTO_FRAME_HEADER, input->at, given);
	input->at += given;
	input->left -= given;
	bytes[PROTO_FRAME_HEADER + frame.length] = PROTO_FRAME_END;
	feed(run, bytes, PROTO_FRAME_HEADER + frame.length + 1);
}

static void feed_hello(struct run *run, uint16_t min, uint16_t max, uint32_t answers)
{
	uint8_t bytes[128] = {0};
	struct frame frame = {.type = PROTO_HELLO};
	auto_buf struct buf payload;

	buf_init(&payload, 100);
	(void)msg_write_u64(&payload, PROTO_MAGIC);
	(void)msg_write_u16(&payload, min);
	(void)msg_write_u16(&payload, max);
	(void)buf_append(&payload, bytes, 4 + 16 + 8);
	(void)msg_write_u64(&payload, answers);
	(void)msg_write_string(&payload, "fuzz");
	frame.length = (uint32_t)buf_length(&payload);
	frame_encode(&frame, bytes);
	memcpy(bytes + PROTO_FRAME_HEADER, buf_data(&payload), frame.length);
	bytes[PROTO_FRAME_HEADER + frame.length] = PROTO_FRAME_END;
	feed(run, bytes, PROTO_FRAME_HEADER + frame.length + 1);
}

static const uint8_t zeros[PROTO_WINDOW];

/* What there is a place for goes there, the rest is sent. */
static void place(struct mux_channel *channel, uint8_t flags, uint32_t amount)
{
	struct iovec places[MUX_PLACES];
	int count = mux_places(channel, amount, places);
	size_t placed = 0;

	for (int i = 0; i < count; i++) {
		memset(places[i].iov_base, 0, places[i].iov_len);
		placed += places[i].iov_len;
	}
	require(placed <= amount);
	if (placed > 0)
		mux_placed(channel, flags, placed);
	mux_send(channel, flags, zeros, amount - placed);
}

static void call_channel(struct run *run, struct input *input)
{
	struct mux_channel *channel = run->channels[take(input, 1) % CHANNELS];
	uint8_t what = (uint8_t)take(input, 1);
	uint32_t amount = take(input, 2) * 5;

	if (!channel)
		return;
	/* An unanswered channel of the peer's may only be answered or closed: that is the contract.
	 */
	switch (what % 8) {
	case 0:
		amount = amount < mux_window(channel) ? amount : mux_window(channel);
		if (what & 0x40)
			place(channel, what & 0x80 ? PROTO_DATA_STDERR : 0, amount);
		else
			mux_send(channel, what & 0x80 ? PROTO_DATA_STDERR : 0, zeros, amount);
		break;
	case 1:
		amount = amount < *held(channel) ? amount : *held(channel);
		*held(channel) -= amount;
		mux_consume(channel, amount);
		break;
	case 2:
		if (mux_window(channel) > 0)
			mux_eof(channel);
		break;
	case 3:
		if (mux_window(channel) > 0)
			mux_exit(channel, PROTO_EXITED, amount % 256);
		break;
	case 4:
		(void)mux_channel_request(channel, PROTO_RESIZE, zeros, amount % PROTO_MESSAGE_MAX);
		break;
	default:
		mux_close(channel);
		break;
	}
}

static void call_link(struct run *run, struct input *input)
{
	uint8_t what = (uint8_t)take(input, 1);
	uint32_t amount = take(input, 2);
	struct mux_channel *channel;
	struct err err;

	switch (what % 8) {
	case 0:
		channel = mux_open(run->mux, PROTO_KIND_SESSION, amount, &channel_ops, run, &err);
		if (channel)
			keep(run, channel);
		break;
	case 1:
		(void)mux_request(run->mux, amount, PROTO_STATUS, zeros, amount);
		break;
	case 2:
		(void)mux_ping(run->mux, zeros, amount % 70);
		break;
	case 3:
		if (what == 3)
			mux_goaway(run->mux, PROTO_SHUTTING_DOWN, "bye");
		break;
	case 4:
		if (what == 4)
			mux_lose(run->mux);
		break;
	default:
		pull(run, amount);
		break;
	}
}

static void command(struct run *run, struct input *input)
{
	uint8_t bytes[64];
	uint32_t count;

	switch (take(input, 1) % 8) {
	case 0:
	case 1:
		feed_frame(run, input);
		break;
	case 2:
	case 3:
		call_channel(run, input);
		break;
	case 4:
		call_link(run, input);
		break;
	case 5:
		count = take(input, 1);
		feed_hello(run, (uint16_t)(count & 15), (uint16_t)(count >> 4), take(input, 1));
		break;
	case 6:
		count = take(input, 2);
		feed(run, zeros, count < PROTO_RESYNC_RUN ? count : PROTO_RESYNC_RUN);
		break;
	default:
		count = take(input, 1) % sizeof(bytes);
		for (uint32_t i = 0; i < count; i++)
			bytes[i] = (uint8_t)take(input, 1);
		feed(run, bytes, count);
		break;
	}
}

static void run_program(struct run *run, struct input input, bool singly)
{
	const struct mux_hello hello = {.uptime_ns = 5, .program = "fuzzed"};

	memset(run, 0, sizeof(*run));
	run->singly = singly;
	run->settings = (uint8_t)take(&input, 1);
	run->mux = mux_new(run->settings & SETTING_GUEST ? MUX_GUEST : MUX_HOST, &events, run);
	if (run->settings & SETTING_ALLOW_RESYNC)
		mux_allow_resync(run->mux);
	mux_start(run->mux, &hello, run->settings & SETTING_RESYNC);
	if (run->settings & SETTING_HELLO)
		feed_hello(run, 1, 1, 5);
	while (input.left > 0)
		command(run, &input);
	for (int i = 0; i < 1000 && mux_has_output(run->mux); i++)
		pull(run, SIZE_MAX);
	mux_free(run->mux);
	for (size_t i = 0; i < CHANNELS; i++)
		require(!run->channels[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run whole, singly;
	const struct input input = {data, size};

	run_program(&whole, input, false);
	run_program(&singly, input, true);
	require(whole.stopped == singly.stopped);
	require(whole.events == singly.events);
	require(whole.output.hash == singly.output.hash);
	return 0;
}
