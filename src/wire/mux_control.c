#include "wire/mux_internal.h"

static int on_ping(struct mux *mux, const struct msg_reader *reader, struct err *err)
{
	if (reader->left > MUX_PING_MAX)
		return mux_fail(mux, err, "a PING of more than %d bytes", MUX_PING_MAX);
	if (mux_queue_control(mux, PROTO_PONG, 0, reader->at, reader->left) < 0)
		return mux_fail(mux, err, "PINGs without reading the answers");
	return 0;
}

static int on_goaway(struct mux *mux, struct msg_reader *reader, struct err *err)
{
	uint32_t code = msg_read_u32(reader);
	auto_free char *text = msg_read_string(reader, PROTO_TEXT_MAX);

	if (!text)
		return mux_fail(mux, err, "a malformed GOAWAY");
	if (mux->ops->goaway)
		mux->ops->goaway(mux->ctx, code, text);
	return 0;
}

static int on_link_request(struct mux *mux, struct msg_reader *reader, struct err *err)
{
	uint32_t id = msg_read_u32(reader);
	uint16_t what = msg_read_u16(reader);

	if (!msg_ok(reader))
		return mux_fail(mux, err, "a cut REQUEST");
	if (mux->ops->request)
		mux->ops->request(mux->ctx, id, what, reader->at, reader->left);
	return 0;
}

static int on_reply(struct mux *mux, struct msg_reader *reader, struct err *err)
{
	uint32_t id = msg_read_u32(reader);
	uint32_t code = msg_read_u32(reader);

	if (!msg_ok(reader))
		return mux_fail(mux, err, "a cut REPLY");
	if (mux->ops->reply)
		mux->ops->reply(mux->ctx, id, code, reader->at, reader->left);
	return 0;
}

static int on_pong(struct mux *mux, const struct msg_reader *reader, struct err *err)
{
	if (reader->left > MUX_PING_MAX)
		return mux_fail(mux, err, "a PONG of more than %d bytes", MUX_PING_MAX);
	if (mux->ops->pong)
		mux->ops->pong(mux->ctx, reader->at, reader->left);
	return 0;
}

int mux_control_frame(struct mux *mux, const struct frame *frame, const uint8_t *payload,
		      struct err *err)
{
	struct msg_reader reader;
	int result;

	msg_read_from(&reader, payload, frame->length);
	mux->events++;
	switch (frame->type) {
	case PROTO_REQUEST:
		result = on_link_request(mux, &reader, err);
		break;
	case PROTO_REPLY:
		result = on_reply(mux, &reader, err);
		break;
	case PROTO_PING:
		result = on_ping(mux, &reader, err);
		break;
	case PROTO_PONG:
		result = on_pong(mux, &reader, err);
		break;
	case PROTO_GOAWAY:
		result = on_goaway(mux, &reader, err);
		break;
	default:
		result = mux_fail(mux, err, "a frame of type %u on channel 0", frame->type);
		break;
	}
	mux->events--;
	return result;
}

int mux_request(struct mux *mux, uint32_t id, enum proto_what what, const void *payload,
		size_t length)
{
	auto_buf struct buf bytes;

	buf_init(&bytes, PROTO_MESSAGE_MAX);
	(void)msg_write_u32(&bytes, id);
	(void)msg_write_u16(&bytes, (uint16_t)what);
	if (buf_append(&bytes, payload, length) < 0)
		return -1;
	return mux_queue_control(mux, PROTO_REQUEST, 0, buf_data(&bytes), buf_length(&bytes));
}

int mux_reply(struct mux *mux, uint32_t id, enum proto_reject code, const void *payload,
	      size_t length)
{
	auto_buf struct buf bytes;

	buf_init(&bytes, PROTO_MESSAGE_MAX);
	(void)msg_write_u32(&bytes, id);
	(void)msg_write_u32(&bytes, (uint32_t)code);
	if (buf_append(&bytes, payload, length) < 0)
		return -1;
	return mux_queue_control(mux, PROTO_REPLY, 0, buf_data(&bytes), buf_length(&bytes));
}

int mux_ping(struct mux *mux, const void *payload, size_t length)
{
	if (length > MUX_PING_MAX)
		return -1;
	return mux_queue_control(mux, PROTO_PING, 0, payload, length);
}

void mux_goaway(struct mux *mux, enum proto_reject code, const char *text)
{
	auto_buf struct buf payload;

	buf_init(&payload, MUX_REASON_MAX);
	mux_write_reason(&payload, code, text);
	if (mux->state == MUX_STOPPED)
		return;
	/* Before the peer's HELLO nothing queued may leave, and a full queue will not empty. */
	if (mux->state == MUX_NEW ||
	    mux_queue_control(mux, PROTO_GOAWAY, 0, buf_data(&payload), buf_length(&payload)) < 0)
		mux_goaway_now(mux, code, text);
}
