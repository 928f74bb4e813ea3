#include "agent/share_stream.h"

#include "base/mem.h"
#include "wire/proto.h"
#include "wire/share_proto.h"

#include <stdlib.h>
#include <string.h>

#define HELLO_SIZE  ((size_t)PROTO_FRAME_HEADER + 8 + 1)
#define STREAM_SIZE ((size_t)PROTO_FRAME_HEADER + SHARE_PAYLOAD_MAX + 1)

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
	if (length == 0)
		return; /* and nothing is moved: a large frame comes in hundreds of pieces */
	memmove(stream->bytes, stream->bytes + length, stream->used - length);
	stream->used -= length;
	stream->taken = 0;
	stream->searched -= length < stream->searched ? length : stream->searched;
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

/* Looks for the hello of the server we hear, which none but the next one says again, where it can
 * begin: from what is taken to `end`. Goes on behind it if it is there: what was before it is half
 * a frame. */
static bool skip_to_next_server(struct share_stream *stream, size_t end)
{
	size_t from = stream->searched > stream->taken ? stream->searched : stream->taken;
	uint8_t hello[HELLO_SIZE];
	const uint8_t *found;

	if (stream->nonce == 0)
		return false;
	end = end + HELLO_SIZE - 1 < stream->used ? end + HELLO_SIZE - 1 : stream->used;
	if (end < from + HELLO_SIZE)
		return false;
	frame_encode(&(struct frame){.type = SHARE_SERVER_HELLO, .length = 8}, hello);
	for (int i = 0; i < 8; i++)
		hello[PROTO_FRAME_HEADER + i] = (uint8_t)(stream->nonce >> (56 - 8 * i));
	hello[HELLO_SIZE - 1] = PROTO_FRAME_END;
	found = memmem(stream->bytes + from, end - from, hello, sizeof(hello));
	if (!found) {
		stream->searched = end - (HELLO_SIZE - 1);
		return false;
	}
	stream->taken = (size_t)(found - stream->bytes) + sizeof(hello);
	stream->nonce = 0;
	stream->lost = false;
	return true;
}

void share_stream_fed(struct share_stream *stream, size_t length)
{
	stream->used += length;
}

int share_stream_next(struct share_stream *stream, struct frame *ret_frame,
		      const uint8_t **ret_payload)
{
	const uint8_t *at;
	size_t left;
	size_t size = 0;

	do {
		at = stream->bytes + stream->taken;
		left = stream->used - stream->taken;
		if (left < PROTO_FRAME_HEADER)
			return 0;
		size = 0;
		if (!stream->lost && frame_decode(at, SHARE_PAYLOAD_MAX, ret_frame))
			size = PROTO_FRAME_HEADER + ret_frame->length + 1;
		/* Half a frame that the next server's hello filled up. */
		if (size > 0 && left >= size && at[size - 1] != PROTO_FRAME_END)
			size = 0;
	} while (skip_to_next_server(stream, size ? stream->taken + size : stream->used));
	if (size == 0) {
		bool news = !stream->lost;

		stream->lost = true;
		return news ? -1 : 0;
	}
	if (left < size)
		return 0;
	*ret_payload = at + PROTO_FRAME_HEADER;
	stream->taken += size;
	if (ret_frame->type == SHARE_SERVER_HELLO && ret_frame->length == 8)
		stream->nonce = get_be64(*ret_payload);
	return 1;
}
