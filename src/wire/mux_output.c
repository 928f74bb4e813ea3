/*
 * Theory of operation. Three places hold what is to be sent:
 *
 *	channel->queue	records of one channel, in the order of the owner's calls
 *	mux->control	encoded frames of channel 0, and REJECTs of channels that were never made
 *	mux->out	encoded frames that the link takes now, filled only when it runs low
 *
 * so that a frame is bound to its place in the order as late as possible: a keystroke waits for at
 * most MUX_OUTPUT_TARGET bytes (MUX_PLACES frames while much data is moved alone) and one frame of
 * every other channel.
 *
 * A record is a u16 and its bytes. Top bit clear: DATA, bit 14 the STDERR flag, below it the length
 * less one. Top bit set: below it the length of the payload; a type byte and the payload follow.
 * Small pieces of DATA are put together into one record as long as their flag is the same. The
 * worst an owner can do, one byte a piece with alternating flags, is three bytes a byte; the window
 * bounds the bytes, so a queue stays below three windows, MUX_REQUESTS_MAX and the handful of
 * records that come once: MUX_QUEUE_MAX is never reached.
 */
#include "wire/mux_internal.h"

#include <assert.h>
#include <string.h>

#define RECORD_CONTROL 0x8000u
#define RECORD_STDERR  0x4000u

static_assert(PROTO_PAYLOAD_MAX <= RECORD_STDERR, "a DATA record holds a whole frame");
static_assert(MUX_QUEUE_MAX >= 3 * PROTO_WINDOW + MUX_REQUESTS_MAX + 4 * PROTO_PAYLOAD_MAX,
	      "the worst queue fits");
static_assert(MUX_OUT_MAX >= MUX_OUTPUT_TARGET + MUX_PLACES * PROTO_FRAME_MAX,
	      "all that is bound to its place fits");

/* Where the sizes were bounded before: a failure is a mistake in here. */
static void append(struct buf *buf, const void *bytes, size_t length)
{
	int result = buf_append(buf, bytes, length);

	assert(result == 0);
	(void)result;
}

static void append_frame(struct buf *buf, const struct frame *frame, const void *payload)
{
	uint8_t header[PROTO_FRAME_HEADER];
	const uint8_t end = PROTO_FRAME_END;

	frame_encode(frame, header);
	append(buf, header, sizeof(header));
	append(buf, payload, frame->length);
	append(buf, &end, 1);
}

static size_t frame_size(const uint8_t *header)
{
	struct frame frame = {.length = 0};
	bool sound = header[0] == PROTO_SYNC || frame_decode(header, PROTO_PAYLOAD_MAX, &frame);

	assert(sound);
	(void)sound;
	if (header[0] == PROTO_SYNC)
		return PROTO_RESYNC_RUN;
	return PROTO_FRAME_HEADER + frame.length + 1;
}

void mux_schedule(struct mux_channel *channel)
{
	if (!channel->is_gone && list_empty(&channel->ready))
		list_append(&channel->mux->ready, &channel->ready);
}

/* What it says to be in it follows by append. */
static void begin_record(struct mux_channel *channel, uint16_t head)
{
	channel->tail = channel->taken + buf_length(&channel->queue);
	channel->tail_data = !(head & RECORD_CONTROL);
	append(&channel->queue, (const uint8_t[]){(uint8_t)(head >> 8), (uint8_t)head}, 2);
	mux_schedule(channel);
}

/* The last record of the queue if it is DATA of this kind and has room. */
static uint8_t *extendable(struct mux_channel *channel, uint16_t stderr_bit, size_t *ret_room)
{
	uint8_t *head;
	uint16_t value;

	if (!channel->tail_data || buf_length(&channel->queue) == 0)
		return NULL;
	head = channel->queue.bytes + channel->queue.start + (channel->tail - channel->taken);
	value = (uint16_t)(head[0] << 8 | head[1]);
	if ((value & RECORD_STDERR) != stderr_bit)
		return NULL;
	*ret_room = PROTO_PAYLOAD_MAX - 1 - (value & (RECORD_STDERR - 1));
	return *ret_room > 0 ? head : NULL;
}

void mux_queue_data(struct mux_channel *channel, uint8_t flags, const uint8_t *bytes, size_t length)
{
	uint16_t stderr_bit = flags & PROTO_DATA_STDERR ? RECORD_STDERR : 0;
	size_t room = 0;
	uint8_t *head = extendable(channel, stderr_bit, &room);

	channel->unsent += (uint32_t)length;
	if (head && length > 0) {
		size_t part = length < room ? length : room;
		uint16_t value = (uint16_t)((head[0] << 8 | head[1]) + (int)part);

		head[0] = (uint8_t)(value >> 8);
		head[1] = (uint8_t)value;
		append(&channel->queue, bytes, part);
		bytes += part;
		length -= part;
	}
	while (length > 0) {
		size_t part = length < PROTO_PAYLOAD_MAX ? length : PROTO_PAYLOAD_MAX;

		begin_record(channel, (uint16_t)(stderr_bit | (part - 1)));
		append(&channel->queue, bytes, part);
		bytes += part;
		length -= part;
	}
}

void mux_queue_record(struct mux_channel *channel, enum proto_type type, const void *payload,
		      size_t length)
{
	const uint8_t type_byte = (uint8_t)type;

	assert(length <= PROTO_PAYLOAD_MAX);
	begin_record(channel, (uint16_t)(RECORD_CONTROL | length));
	append(&channel->queue, &type_byte, 1);
	append(&channel->queue, payload, length);
	if (type == PROTO_REQUEST)
		channel->requests += 1 + length;
}

int mux_queue_control(struct mux *mux, enum proto_type type, uint32_t channel, const void *payload,
		      size_t length)
{
	struct frame frame = {
	    .type = (uint8_t)type, .channel = channel, .length = (uint32_t)length};

	assert(length <= PROTO_PAYLOAD_MAX);
	if (mux->state == MUX_STOPPED || buf_room(&mux->control) < PROTO_FRAME_HEADER + length + 1)
		return -1;
	append_frame(&mux->control, &frame, payload);
	return 0;
}

void mux_output_now(struct mux *mux, enum proto_type type, const void *payload, size_t length)
{
	struct frame frame = {.type = (uint8_t)type, .length = (uint32_t)length};

	append_frame(&mux->out, &frame, payload);
}

void mux_output_run(struct mux *mux)
{
	uint8_t *zeros = buf_reserve(&mux->out, PROTO_RESYNC_RUN);

	assert(zeros);
	memset(zeros, 0, PROTO_RESYNC_RUN);
	buf_commit(&mux->out, PROTO_RESYNC_RUN);
}

void mux_output_drop(struct mux *mux)
{
	mux->out.length = mux->out_partial;
	buf_clear(&mux->control);
}

static void emit_control(struct mux *mux)
{
	size_t size = frame_size(buf_data(&mux->control));

	mux->goaway_left = buf_data(&mux->control)[0] == PROTO_GOAWAY;
	append(&mux->out, buf_data(&mux->control), size);
	buf_consume(&mux->control, size);
}

static void emit_credit(struct mux_channel *channel)
{
	struct frame frame = {.type = PROTO_CREDIT, .channel = channel->id, .length = 4};
	uint8_t payload[4];

	for (int i = 0; i < 4; i++)
		payload[i] = (uint8_t)(channel->credit >> (24 - 8 * i));
	append_frame(&channel->mux->out, &frame, payload);
	channel->credit = 0;
}

/* What a frame's leaving means for its channel. */
static void record_left(struct mux_channel *channel, uint8_t type, size_t length)
{
	switch (type) {
	case PROTO_OPEN:
		channel->announced = true;
		break;
	case PROTO_REQUEST:
		channel->requests -= 1 + length;
		break;
	case PROTO_REJECT:
		mux_channel_gone(channel, false);
		break;
	case PROTO_CLOSE:
		channel->close_left = true;
		if (channel->peer_closed)
			mux_channel_gone(channel, false);
		break;
	default:
		break;
	}
}

static void emit_record(struct mux_channel *channel)
{
	const uint8_t *at = buf_data(&channel->queue);
	uint16_t head = (uint16_t)(at[0] << 8 | at[1]);
	struct frame frame = {.type = PROTO_DATA, .channel = channel->id};
	size_t size = 2;

	if (head & RECORD_CONTROL) {
		frame.type = at[size++];
		frame.length = head & (RECORD_CONTROL - 1);
	} else {
		frame.flags = head & RECORD_STDERR ? PROTO_DATA_STDERR : 0;
		frame.length = (head & (RECORD_STDERR - 1)) + 1u;
		channel->unsent -= frame.length;
	}
	append_frame(&channel->mux->out, &frame, at + size);
	size += frame.length;
	buf_consume(&channel->queue, size);
	channel->taken += size;
	record_left(channel, frame.type, frame.length);
}

static void emit_turn(struct mux_channel *channel)
{
	list_remove(&channel->ready);
	if (channel->credit >= MUX_CREDIT_STEP)
		emit_credit(channel);
	if (buf_length(&channel->queue) > 0)
		emit_record(channel);
	if (buf_length(&channel->queue) > 0)
		mux_schedule(channel);
}

static bool may_fill(const struct mux *mux)
{
	return mux->state == MUX_READY && !mux->goaway_left;
}

static void fill(struct mux *mux)
{
	while (may_fill(mux) && buf_length(&mux->out) < MUX_OUTPUT_TARGET) {
		if (buf_length(&mux->control) > 0)
			emit_control(mux);
		else if (!list_empty(&mux->ready))
			emit_turn(list_entry(mux->ready.next, struct mux_channel, ready));
		else
			break;
	}
}

/* Bound to its place at once, so only where the order would have put it there, too. */
int mux_places(struct mux_channel *channel, size_t most, struct iovec *ret_places)
{
	struct mux *mux = channel->mux;
	uint32_t window = mux_window(channel);
	size_t left = most < window ? most : window;
	size_t begun = (buf_length(&mux->out) + PROTO_FRAME_MAX - 1) / PROTO_FRAME_MAX;
	size_t count = (left + PROTO_PAYLOAD_MAX - 1) / PROTO_PAYLOAD_MAX;
	uint8_t *at;

	if (!may_fill(mux) || buf_length(&mux->control) > 0 || !list_empty(&mux->ready) ||
	    buf_length(&channel->queue) > 0 || begun >= MUX_PLACES)
		return 0;
	count = count < MUX_PLACES - begun ? count : MUX_PLACES - begun;
	at = buf_reserve(&mux->out, count * PROTO_FRAME_MAX);
	assert(at);
	for (size_t i = 0; i < count; i++) {
		size_t length = left < PROTO_PAYLOAD_MAX ? left : PROTO_PAYLOAD_MAX;

		ret_places[i] =
		    (struct iovec){.iov_base = at + PROTO_FRAME_HEADER, .iov_len = length};
		left -= length;
		at += PROTO_FRAME_MAX;
	}
	return (int)count;
}

void mux_placed(struct mux_channel *channel, uint8_t flags, size_t length)
{
	struct buf *out = &channel->mux->out;

	assert(length <= mux_window(channel) && length <= (size_t)MUX_PLACES * PROTO_PAYLOAD_MAX);
	channel->window -= (uint32_t)length;
	while (length > 0) {
		size_t part = length < PROTO_PAYLOAD_MAX ? length : PROTO_PAYLOAD_MAX;
		struct frame frame = {.type = PROTO_DATA,
				      .flags = flags,
				      .channel = channel->id,
				      .length = (uint32_t)part};
		uint8_t *at = out->bytes + out->start + out->length;

		frame_encode(&frame, at);
		at[PROTO_FRAME_HEADER + part] = PROTO_FRAME_END;
		buf_commit(out, PROTO_FRAME_HEADER + part + 1);
		length -= part;
	}
}

size_t mux_output(struct mux *mux, const uint8_t **ret_bytes)
{
	if (buf_length(&mux->out) < PROTO_FRAME_MAX)
		fill(mux);
	*ret_bytes = buf_data(&mux->out);
	return buf_length(&mux->out);
}

void mux_sent(struct mux *mux, size_t length)
{
	assert(length <= buf_length(&mux->out));
	while (length > 0) {
		size_t part;

		if (mux->out_partial == 0)
			mux->out_partial = frame_size(buf_data(&mux->out));
		part = length < mux->out_partial ? length : mux->out_partial;
		mux->out_partial -= part;
		buf_consume(&mux->out, part);
		length -= part;
	}
	mux_reap(mux);
}

bool mux_has_output(const struct mux *mux)
{
	if (buf_length(&mux->out) > 0)
		return true;
	return may_fill(mux) && (buf_length(&mux->control) > 0 || !list_empty(&mux->ready));
}

size_t mux_queued(const struct mux *mux)
{
	size_t queued = buf_length(&mux->out) + buf_length(&mux->control);

	list_each(link, next, &mux->channels)
		queued += buf_length(&list_entry(link, struct mux_channel, link)->queue);
	return queued;
}
