#include "supervisor/share_port.h"

#include "wire/frame.h"
#include "wire/msg.h"
#include "wire/proto.h"
#include "wire/share_proto.h"

#include <string.h>

#define HELLO_SIZE	 (PROTO_FRAME_HEADER + 8)
#define IN_MAX		 ((size_t)PROTO_FRAME_HEADER + SHARE_PAYLOAD_MAX)
#define OUT_FULL	 ((size_t)256 << 10) /* past it no request is taken */
#define OUT_MAX		 (OUT_FULL + PROTO_FRAME_HEADER + SHARE_PAYLOAD_MAX + 4096)
#define NOTICES_AT_ONCE	 512 /* and then no more until so many ms have passed */
#define NOTICES_EVERY_MS 20
#define FEED_MAX	 ((size_t)256 << 10)

/* NOLINTNEXTLINE(misc-redundant-expression): that they are equal is the point */
_Static_assert(SHARE_READ_MAX == SHARE_DATA_MAX, "the largest READ is the wire's");
_Static_assert(SHARE_REPLY_MAX + 16 <= SHARE_PAYLOAD_MAX, "an answer fits into a frame");

static void put(struct share_port *port, uint8_t type, uint32_t channel, const void *payload,
		size_t length)
{
	uint8_t header[PROTO_FRAME_HEADER];

	frame_encode(&(struct frame){.type = type, .channel = channel, .length = (uint32_t)length},
		     header);
	/* Cannot fail: OUT_MAX leaves room for the one answer made after OUT_FULL, and some words.
	 */
	(void)buf_append(&port->out, header, sizeof(header));
	(void)buf_append(&port->out, payload, length);
	(void)buf_append(&port->out, (uint8_t[]){PROTO_FRAME_END}, 1);
}

static void put_nonce(uint8_t *at, uint64_t nonce)
{
	for (int i = 0; i < 8; i++)
		at[i] = (uint8_t)(nonce >> (56 - 8 * i));
}

static void say_hello(struct share_port *port, uint64_t nonce)
{
	uint8_t payload[8];

	put_nonce(payload, nonce);
	put(port, SHARE_SERVER_HELLO, 0, payload, sizeof(payload));
}

uint64_t share_port_nonce(uint64_t random)
{
	for (int i = 0; i < 64; i += 8)
		if ((random >> i & 0xff) == PROTO_FRAME_END)
			random ^= (uint64_t)1 << i;
	return random;
}

void share_port_init(struct share_port *port, struct share *const *shares, uint64_t nonce,
		     const uint64_t previous[2])
{
	*port = (struct share_port){.shares = shares, .nonce = nonce};
	buf_init(&port->in, IN_MAX);
	buf_init(&port->out, OUT_MAX);
	buf_init(&port->reply, SHARE_PAYLOAD_MAX);
	buf_init(&port->along, SHARE_ALONG_SIZE);
	for (int i = 0; i < 2; i++)
		if (previous[i])
			say_hello(port, previous[i]);
	say_hello(port, nonce);
}

void share_port_done(struct share_port *port)
{
	buf_done(&port->in);
	buf_done(&port->out);
	buf_done(&port->reply);
	buf_done(&port->along);
}

size_t share_port_wants(const struct share_port *port)
{
	size_t room = buf_room(&port->in);

	if (buf_length(&port->out) > OUT_FULL)
		return 0;
	return room < FEED_MAX ? room : FEED_MAX;
}

/* What was meant for the server before us ends where the agent answers our hello. */
static void sync_up(struct share_port *port)
{
	const uint8_t *data = buf_data(&port->in);
	size_t length = buf_length(&port->in);
	uint8_t hello[HELLO_SIZE];
	const uint8_t *found;

	frame_encode(&(struct frame){.type = SHARE_AGENT_HELLO, .length = 8}, hello);
	put_nonce(hello + PROTO_FRAME_HEADER, port->nonce);
	found = memmem(data, length, hello, sizeof(hello));
	if (found) {
		buf_consume(&port->in, (size_t)(found - data) + sizeof(hello));
		port->synced = true;
	} else if (length >= sizeof(hello)) {
		buf_consume(&port->in, length - (sizeof(hello) - 1));
	}
}

/* Before the answer to the same request. */
static void put_along(struct share_port *port, uint8_t type, uint32_t channel)
{
	if (buf_length(&port->along) > 0)
		put(port, type, channel, buf_data(&port->along), buf_length(&port->along));
	buf_clear(&port->along);
}

static int take_request(struct share_port *port, const struct frame *frame, const uint8_t *payload,
			struct err *err)
{
	struct share *share =
	    frame->channel < SHARE_PORT_SHARES_MAX ? port->shares[frame->channel] : NULL;

	if (!share)
		return err_set(err, ERR_PROTOCOL, "the guest asks for share %u, which there is not",
			       frame->channel);
	buf_clear(&port->reply);
	if (share_request(share, payload, frame->length, frame->flags & SHARE_AGAIN, &port->reply) <
	    0)
		return err_set(err, ERR_PROTOCOL, "the guest sent something that is no request");
	share_along(share, &port->along);
	put_along(port, SHARE_ALONG, frame->channel);
	share_empty(share, &port->along);
	put_along(port, SHARE_EMPTY, frame->channel);
	if (buf_length(&port->reply) > 0)
		put(port, SHARE_REPLY, frame->channel, buf_data(&port->reply),
		    buf_length(&port->reply));
	return 0;
}

static int take_frame(struct share_port *port, const struct frame *frame, const uint8_t *payload,
		      struct err *err)
{
	switch (frame->type) {
	case SHARE_REQUEST:
		return take_request(port, frame, payload, err);
	case SHARE_QUIESCED:
		port->quiesced = true;
		return 0;
	case SHARE_AGENT_HELLO:
		return 0; /* the answer to the hello of a server before us */
	default:
		return err_set(err, ERR_PROTOCOL, "the guest sent a frame of unknown type %u",
			       frame->type);
	}
}

static bool may_notify(const struct share_port *port)
{
	return port->synced && port->notified < NOTICES_AT_ONCE &&
	       buf_length(&port->out) <= OUT_FULL;
}

static void tell(struct share_port *port, uint8_t type, uint32_t channel, const void *payload,
		 size_t length)
{
	put(port, type, channel, payload, length);
	port->telling = true;
	port->unheard = port->unheard || port->held;
}

bool share_port_has_news(const struct share_port *port)
{
	return share_port_is_telling(port) || (port->held && (port->unheard || !port->quiesced));
}

bool share_port_is_telling(const struct share_port *port)
{
	for (uint32_t i = 0; i < SHARE_PORT_SHARES_MAX; i++)
		if (port->shares[i] && share_has_news(port->shares[i]))
			return true;
	return share_port_is_writing_news(port);
}

bool share_port_is_writing_news(const struct share_port *port)
{
	return port->telling && buf_length(&port->out) > 0;
}

int share_port_notify(struct share_port *port, uint64_t now_ms)
{
	bool waiting = false;
	uint32_t length;

	port->telling = port->telling && buf_length(&port->out) > 0;
	if (now_ms - port->notified_ms >= NOTICES_EVERY_MS) {
		port->notified_ms = now_ms;
		port->notified = 0;
	}
	for (uint32_t i = 0; i < SHARE_PORT_SHARES_MAX; i++) {
		struct buf *notices = port->shares[i] ? share_notices(port->shares[i]) : NULL;

		if (notices && may_notify(port) && share_take_lost(port->shares[i]))
			tell(port, SHARE_DROP, i, NULL, 0);
		while (notices && buf_length(notices) > 0 && may_notify(port)) {
			/* The first field of a fuse_out_header. */
			memcpy(&length, buf_data(notices), sizeof(length));
			tell(port, SHARE_NOTIFY, i, buf_data(notices), length);
			buf_consume(notices, length);
			port->notified++;
		}
		waiting = waiting || (notices && share_has_news(port->shares[i]));
	}
	return waiting ? NOTICES_EVERY_MS : -1;
}

int share_port_continue(struct share_port *port, struct err *err)
{
	struct frame frame;

	if (!port->synced)
		sync_up(port);
	while (port->synced && buf_length(&port->out) <= OUT_FULL &&
	       buf_length(&port->in) >= PROTO_FRAME_HEADER) {
		if (!frame_decode(buf_data(&port->in), SHARE_PAYLOAD_MAX, &frame))
			return err_set(err, ERR_PROTOCOL, "the guest sent a damaged frame header");
		if (buf_length(&port->in) < PROTO_FRAME_HEADER + frame.length)
			break;
		if (take_frame(port, &frame, buf_data(&port->in) + PROTO_FRAME_HEADER, err) < 0)
			return -1;
		buf_consume(&port->in, PROTO_FRAME_HEADER + frame.length);
	}
	return 0;
}

int share_port_feed(struct share_port *port, const void *bytes, size_t length, struct err *err)
{
	if (buf_append(&port->in, bytes, length) < 0)
		return err_set(err, ERR_PROTOCOL, "more was fed than wanted");
	return share_port_continue(port, err);
}

void share_port_quiesce(struct share_port *port)
{
	port->held = true;
	port->quiesced = false;
	port->unheard = false;
	put(port, SHARE_QUIESCE, 0, NULL, 0);
}

void share_port_resume(struct share_port *port)
{
	port->held = false;
	port->quiesced = false;
	put(port, SHARE_RESUME, 0, NULL, 0);
}
