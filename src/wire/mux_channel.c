/*
 * Theory of operation. A channel has two directions, each with its own end: `ended` and
 * `close_left` are ours, `peer_closed` is the peer's. It goes once CLOSE has passed in both, or a
 * single REJECT in either, and is then taken out of the mux at once but freed only when no event is
 * running (mux_reap), so that owners may call anything from inside their events.
 *
 * A frame for an id that was opened once and is gone was on its way when the channel went: dropped.
 * A frame for an id that nobody opened is a violation.
 *
 * Window of what the peer may send: PROTO_WINDOW - unconsumed - credit. Once our owner has called
 * mux_close, DATA that still comes counts as consumed at once, so that a peer that is draining its
 * output never stands still.
 */
#include "wire/mux_internal.h"

#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>

static const struct mux_channel_ops no_ops;

struct mux_channel *mux_channel_new(struct mux *mux, uint32_t id, bool ours)
{
	struct mux_channel *channel = xcalloc(1, sizeof(*channel));

	channel->mux = mux;
	channel->ops = &no_ops;
	channel->id = id;
	channel->ours = ours;
	channel->window = PROTO_WINDOW;
	list_append(&mux->channels, &channel->link);
	list_init(&channel->ready);
	mux->count++;
	buf_init(&channel->queue, MUX_QUEUE_MAX);
	return channel;
}

void mux_channel_free(struct mux_channel *channel)
{
	list_remove(&channel->link);
	list_remove(&channel->ready);
	buf_done(&channel->queue);
	free(channel);
}

/* Whether the owner may still say something on it. */
static bool is_live(const struct mux_channel *channel)
{
	return !channel->ended && !channel->is_gone && channel->mux->state == MUX_READY;
}

struct mux_channel *mux_open(struct mux *mux, enum proto_kind kind, uint32_t length,
			     const struct mux_channel_ops *ops, void *user, struct err *err)
{
	auto_buf struct buf payload;
	struct mux_channel *channel;
	uint32_t id = mux->side == MUX_HOST ? 1 : 2;

	if (mux->last_ours != 0)
		id = mux->last_ours + 2;
	buf_init(&payload, 6);
	if (mux->state != MUX_READY) {
		(void)err_set(err, ERR_PROTOCOL, "the link is not ready for channels");
		return NULL;
	}
	if (mux->count >= PROTO_CHANNELS_MAX || mux->last_ours > UINT32_MAX - 2) {
		(void)err_set(err, ERR_BUSY, "no channel is free: a link carries %d at once",
			      PROTO_CHANNELS_MAX);
		return NULL;
	}
	if (length > PROTO_OPEN_MAX) {
		(void)err_set(err, ERR_INVALID,
			      "a description of %" PRIu32 " bytes is too large: at most %u", length,
			      PROTO_OPEN_MAX);
		return NULL;
	}
	mux->last_ours = id;
	channel = mux_channel_new(mux, id, true);
	mux_set_ops(channel, ops, user);
	(void)msg_write_u16(&payload, (uint16_t)kind);
	(void)msg_write_u32(&payload, length);
	mux_queue_record(channel, PROTO_OPEN, buf_data(&payload), buf_length(&payload));
	return channel;
}

void mux_set_ops(struct mux_channel *channel, const struct mux_channel_ops *ops, void *user)
{
	channel->ops = ops ? ops : &no_ops;
	channel->user = user;
}

void *mux_user(const struct mux_channel *channel)
{
	return channel->user;
}

struct mux *mux_of(const struct mux_channel *channel)
{
	return channel->mux;
}

uint32_t mux_channel_id(const struct mux_channel *channel)
{
	return channel->id;
}

void mux_accept(struct mux_channel *channel, const void *payload, size_t length)
{
	if (!is_live(channel))
		return;
	assert(!channel->ours && !channel->accepted);
	channel->accepted = true;
	mux_queue_record(channel, PROTO_ACCEPT, payload, length);
}

void mux_reject(struct mux_channel *channel, enum proto_reject code, const char *text)
{
	auto_buf struct buf payload;

	buf_init(&payload, MUX_REASON_MAX);
	if (!is_live(channel))
		return;
	assert(!channel->ours && !channel->accepted);
	channel->ended = true;
	mux_write_reason(&payload, code, text);
	mux_queue_record(channel, PROTO_REJECT, buf_data(&payload), buf_length(&payload));
}

uint32_t mux_window(const struct mux_channel *channel)
{
	if (!is_live(channel) || channel->eof || !(channel->ours || channel->accepted))
		return 0;
	return channel->window;
}

void mux_send(struct mux_channel *channel, uint8_t flags, const void *bytes, size_t length)
{
	if (!is_live(channel) || length == 0)
		return;
	assert(length <= mux_window(channel));
	channel->window -= (uint32_t)length;
	mux_queue_data(channel, flags, bytes, length);
}

static void consume(struct mux_channel *channel, uint32_t length)
{
	assert(length <= channel->unconsumed);
	channel->unconsumed -= length;
	channel->credit += length;
	if (channel->credit >= MUX_CREDIT_STEP && !channel->peer_closed)
		mux_schedule(channel);
}

void mux_consume(struct mux_channel *channel, uint32_t length)
{
	if (is_live(channel))
		consume(channel, length);
}

void mux_eof(struct mux_channel *channel)
{
	if (!is_live(channel) || channel->eof)
		return;
	assert(channel->ours || channel->accepted);
	channel->eof = true;
	mux_queue_record(channel, PROTO_EOF, NULL, 0);
}

void mux_exit(struct mux_channel *channel, enum proto_exit how, uint32_t value)
{
	auto_buf struct buf payload;

	buf_init(&payload, 5);
	if (!is_live(channel) || channel->exited)
		return;
	assert(channel->ours || channel->accepted);
	channel->exited = true;
	(void)msg_write_u8(&payload, (uint8_t)how);
	(void)msg_write_u32(&payload, value);
	mux_queue_record(channel, PROTO_EXIT, buf_data(&payload), buf_length(&payload));
}

int mux_channel_request(struct mux_channel *channel, enum proto_what what, const void *payload,
			size_t length)
{
	auto_buf struct buf bytes;

	buf_init(&bytes, PROTO_MESSAGE_MAX);
	if (!is_live(channel) || !(channel->ours || channel->accepted) ||
	    channel->requests + length + 7 > MUX_REQUESTS_MAX)
		return -1;
	(void)msg_write_u32(&bytes, 0);
	(void)msg_write_u16(&bytes, (uint16_t)what);
	if (buf_append(&bytes, payload, length) < 0)
		return -1;
	mux_queue_record(channel, PROTO_REQUEST, buf_data(&bytes), buf_length(&bytes));
	return 0;
}

void mux_close(struct mux_channel *channel)
{
	if (!is_live(channel))
		return;
	channel->ended = true;
	consume(channel, channel->unconsumed);
	mux_queue_record(channel, PROTO_CLOSE, NULL, 0);
}

/* An OPEN that is answered without making a channel. */
static int refuse(struct mux *mux, uint32_t id, enum proto_reject code, const char *text,
		  struct err *err)
{
	auto_buf struct buf payload;

	buf_init(&payload, MUX_REASON_MAX);
	mux_write_reason(&payload, code, text);
	if (mux_queue_control(mux, PROTO_REJECT, id, buf_data(&payload), buf_length(&payload)) < 0)
		return mux_fail(mux, err, "opens channels without reading the answers");
	return 0;
}

static bool is_ours(const struct mux *mux, uint32_t id)
{
	return (id % 2 == 1) == (mux->side == MUX_HOST);
}

static int on_open(struct mux *mux, uint32_t id, struct msg_reader *reader, struct err *err)
{
	uint16_t kind = msg_read_u16(reader);
	uint32_t length = msg_read_u32(reader);
	struct mux_channel *channel;

	if (!msg_ok(reader))
		return mux_fail(mux, err, "a cut OPEN");
	if (is_ours(mux, id))
		return mux_fail(mux, err, "OPEN of channel %" PRIu32 ", an id of this side", id);
	if (id <= mux->last_theirs)
		return mux_fail(mux, err, "OPEN of channel %" PRIu32 ", which was opened before",
				id);
	mux->last_theirs = id;
	if (mux->count >= PROTO_CHANNELS_MAX)
		return refuse(mux, id, PROTO_NO_RESOURCES, "too many open channels", err);
	if (length > PROTO_OPEN_MAX)
		return refuse(mux, id, PROTO_NO_RESOURCES, "the description is too large", err);
	if (!mux->ops->open)
		return refuse(mux, id, PROTO_UNKNOWN, "this side takes no channels", err);
	channel = mux_channel_new(mux, id, false);
	mux->events++;
	mux->ops->open(mux->ctx, channel, kind, length);
	mux->events--;
	return 0;
}

static int on_accept(struct mux_channel *channel, struct msg_reader *reader, struct err *err)
{
	if (!channel->ours || channel->accepted)
		return mux_fail(channel->mux, err, "ACCEPT of a channel that was not offered");
	channel->accepted = true;
	if (!channel->ended && channel->ops->accepted)
		channel->ops->accepted(channel, reader->at, reader->left);
	return 0;
}

static int on_reject(struct mux_channel *channel, struct msg_reader *reader, struct err *err)
{
	uint32_t code = msg_read_u32(reader);
	auto_free char *text = msg_read_string(reader, PROTO_TEXT_MAX);

	if (!channel->ours || channel->accepted)
		return mux_fail(channel->mux, err, "REJECT of a channel that was not offered");
	if (!text)
		return mux_fail(channel->mux, err, "a malformed REJECT");
	if (!channel->ended && channel->ops->rejected)
		channel->ops->rejected(channel, code, text);
	mux_channel_gone(channel, false);
	return 0;
}

static int on_data(struct mux_channel *channel, uint8_t flags, struct msg_reader *reader,
		   struct err *err)
{
	uint32_t length = (uint32_t)reader->left;

	if (channel->peer_eof)
		return mux_fail(channel->mux, err, "DATA after EOF");
	if (length > PROTO_WINDOW - channel->unconsumed - channel->credit)
		return mux_fail(channel->mux, err, "more DATA than the window allows");
	if (length == 0)
		return 0;
	channel->unconsumed += length;
	if (channel->ended || !channel->ops->data)
		consume(channel, length);
	else
		channel->ops->data(channel, flags, reader->at, length);
	return 0;
}

static int on_credit(struct mux_channel *channel, struct msg_reader *reader, struct err *err)
{
	uint32_t bytes = msg_read_u32(reader);

	if (!msg_ok(reader) || bytes > PROTO_WINDOW - channel->window - channel->unsent)
		return mux_fail(channel->mux, err, "CREDIT for bytes that were not sent");
	channel->window += bytes;
	if (bytes > 0 && !channel->ended && channel->ops->credit)
		channel->ops->credit(channel, bytes);
	return 0;
}

static int on_eof(struct mux_channel *channel, struct err *err)
{
	if (channel->peer_eof)
		return mux_fail(channel->mux, err, "a second EOF");
	channel->peer_eof = true;
	if (!channel->ended && channel->ops->eof)
		channel->ops->eof(channel);
	return 0;
}

static int on_exit_frame(struct mux_channel *channel, struct msg_reader *reader, struct err *err)
{
	uint8_t how = msg_read_u8(reader);
	uint32_t value = msg_read_u32(reader);

	if (channel->peer_exited)
		return mux_fail(channel->mux, err, "a second EXIT");
	if (!msg_ok(reader) || how > PROTO_SIGNALED || value > (how == PROTO_EXITED ? 255 : 127))
		return mux_fail(channel->mux, err, "a malformed EXIT");
	channel->peer_exited = true;
	if (!channel->ended && channel->ops->exit)
		channel->ops->exit(channel, (enum proto_exit)how, value);
	return 0;
}

static int on_request(struct mux_channel *channel, struct msg_reader *reader, struct err *err)
{
	uint32_t id = msg_read_u32(reader);
	uint16_t what = msg_read_u16(reader);

	if (!msg_ok(reader))
		return mux_fail(channel->mux, err, "a cut REQUEST");
	if (!channel->ended && channel->ops->request)
		channel->ops->request(channel, id, what, reader->at, reader->left);
	return 0;
}

static int on_close(struct mux_channel *channel)
{
	channel->peer_closed = true;
	if (channel->close_left)
		mux_channel_gone(channel, false);
	else if (!channel->ended && channel->ops->closing)
		channel->ops->closing(channel);
	else
		mux_close(channel);
	return 0;
}

static int dispatch(struct mux_channel *channel, const struct frame *frame,
		    struct msg_reader *reader, struct err *err)
{
	/* Until it has accepted, the other end can only grant credit or give up. */
	if (channel->ours && !channel->accepted && frame->type != PROTO_ACCEPT &&
	    frame->type != PROTO_REJECT && frame->type != PROTO_CREDIT &&
	    frame->type != PROTO_CLOSE)
		return mux_fail(channel->mux, err, "a frame before ACCEPT");
	if (channel->peer_closed && frame->type != PROTO_CREDIT)
		return mux_fail(channel->mux, err, "a frame after CLOSE");
	switch (frame->type) {
	case PROTO_ACCEPT:
		return on_accept(channel, reader, err);
	case PROTO_REJECT:
		return on_reject(channel, reader, err);
	case PROTO_DATA:
		return on_data(channel, frame->flags, reader, err);
	case PROTO_CREDIT:
		return on_credit(channel, reader, err);
	case PROTO_EOF:
		return on_eof(channel, err);
	case PROTO_EXIT:
		return on_exit_frame(channel, reader, err);
	case PROTO_REQUEST:
		return on_request(channel, reader, err);
	default: /* the caller lets no other type through */
		return on_close(channel);
	}
}

int mux_channel_frame(struct mux *mux, const struct frame *frame, const uint8_t *payload,
		      struct err *err)
{
	struct mux_channel *channel = NULL;
	struct msg_reader reader;
	int result;

	msg_read_from(&reader, payload, frame->length);
	if (frame->type == PROTO_OPEN)
		return on_open(mux, frame->channel, &reader, err);
	list_each(link, next, &mux->channels) {
		struct mux_channel *candidate = list_entry(link, struct mux_channel, link);

		if (candidate->id == frame->channel)
			channel = candidate;
	}
	if (channel ? channel->ours && !channel->announced
		    : frame->channel >
			  (is_ours(mux, frame->channel) ? mux->last_ours : mux->last_theirs))
		return mux_fail(mux, err, "a frame for channel %" PRIu32 ", which is not open",
				frame->channel);
	if (!channel)
		return 0;
	mux->events++;
	result = dispatch(channel, frame, &reader, err);
	mux->events--;
	return result;
}
