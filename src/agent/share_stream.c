#include "agent/share_stream.h"

#include "base/mem.h"
#include "wire/proto.h"
#include "wire/share_proto.h"

#include <stdlib.h>
#include <string.h>

#define HELLO_SIZE  ((size_t)PROTO_FRAME_HEADER + 8)
#define STREAM_SIZE ((size_t)PROTO_FRAME_HEADER + SHARE_PAYLOAD_MAX)

void share_stream_init(struct share_stream *stream)
{
	*stream = (struct share_stream){.bytes = xmalloc(STREAM_SIZE)};
}

void share_stream_done(struct share_stream *stream)
{
	free(stream->bytes);
	*stream = (struct share_stream){.bytes = NULL};
}

static void drop(struct share_stream *stream, size_t length)
{
	memmove(stream->bytes, stream->bytes + length, stream->used - length);
	stream->used -= length;
	stream->taken = 0;
}

uint8_t *share_stream_space(struct share_stream *stream, size_t *ret_size)
{
	drop(stream, stream->taken);
	/* As much as the next server's hello may have begun in. */
	if (stream->lost && stream->used > HELLO_SIZE - 1)
		drop(stream, stream->used - (HELLO_SIZE - 1));
	*ret_size = STREAM_SIZE - stream->used;
	return stream->bytes + stream->used;
}

static uint64_t get_be64(const uint8_t *at)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | at[i];
	return value;
}

/* The hello of the server we hear, which none but the next one says again. Looks at the bytes from
 * `from` on; 0, or how many bytes of the stream it ends. */
static size_t find_end_of_server(const struct share_stream *stream, size_t from)
{
	uint8_t hello[HELLO_SIZE];
	size_t back = from < HELLO_SIZE - 1 ? from : HELLO_SIZE - 1;
	const uint8_t *found;

	if (stream->nonce == 0)
		return 0;
	frame_encode(&(struct frame){.type = SHARE_SERVER_HELLO, .length = 8}, hello);
	for (int i = 0; i < 8; i++)
		hello[PROTO_FRAME_HEADER + i] = (uint8_t)(stream->nonce >> (56 - 8 * i));
	found =
	    memmem(stream->bytes + from - back, stream->used - from + back, hello, sizeof(hello));
	return found ? (size_t)(found - stream->bytes) + sizeof(hello) : 0;
}

void share_stream_fed(struct share_stream *stream, size_t length)
{
	size_t from = stream->used;
	size_t end;

	stream->used += length;
	end = find_end_of_server(stream, from);
	if (end) {
		drop(stream, end);
		stream->nonce = 0;
		stream->lost = false;
	}
}

int share_stream_next(struct share_stream *stream, struct frame *ret_frame,
		      const uint8_t **ret_payload)
{
	const uint8_t *at = stream->bytes + stream->taken;
	size_t left = stream->used - stream->taken;

	if (stream->lost || left < PROTO_FRAME_HEADER)
		return 0;
	if (!frame_decode(at, SHARE_PAYLOAD_MAX, ret_frame)) {
		stream->lost = true;
		return -1;
	}
	if (left - PROTO_FRAME_HEADER < ret_frame->length)
		return 0;
	*ret_payload = at + PROTO_FRAME_HEADER;
	stream->taken += PROTO_FRAME_HEADER + ret_frame->length;
	if (ret_frame->type == SHARE_SERVER_HELLO && ret_frame->length == 8)
		stream->nonce = get_be64(*ret_payload);
	return 1;
}
