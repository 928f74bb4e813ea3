#include "agent/share_batch.h"

#include "wire/frame.h"
#include "wire/proto.h"
#include "wire/share_proto.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SMALL_MAX 512 /* what is larger is not copied */

static void put_be64(uint8_t *at, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		at[i] = (uint8_t)(value >> (56 - 8 * i));
}

static void put_frame(struct share_batch *batch, uint8_t type, uint8_t flags, uint32_t channel,
		      const void *payload, size_t length)
{
	struct frame frame = {
	    .type = type, .flags = flags, .channel = channel, .length = (uint32_t)length};

	frame_encode(&frame, batch->bytes + batch->used);
	batch->used += PROTO_FRAME_HEADER;
	if (length && length <= SMALL_MAX) {
		memcpy(batch->bytes + batch->used, payload, length);
		batch->used += length;
	}
}

/* What is due, as much as fits. */
static void gather(struct share_batch *batch, struct share_queue *queue)
{
	struct share_queued *request = NULL;
	enum share_queue_what what;
	uint8_t nonce[8];

	while (batch->used + PROTO_FRAME_HEADER + SMALL_MAX <= sizeof(batch->bytes) &&
	       (what = share_queue_next(queue, &request)) != SHARE_QUEUE_NOTHING) {
		if (what == SHARE_QUEUE_HELLO) {
			put_be64(nonce, queue->nonce);
			put_frame(batch, SHARE_AGENT_HELLO, 0, 0, nonce, sizeof(nonce));
		} else if (what == SHARE_QUEUE_QUIESCED) {
			put_frame(batch, SHARE_QUIESCED, 0, 0, NULL, 0);
		} else {
			put_frame(batch, SHARE_REQUEST, request->again ? SHARE_AGAIN : 0,
				  request->mount, request->bytes, request->length);
			if (request->length > SMALL_MAX) {
				batch->large = request; /* reported when it is written */
				return;
			}
		}
		share_queue_written(queue);
	}
}

/* 1: all of it; else as share_batch_write. */
static int write_rest(struct share_batch *batch, int fd, const uint8_t *bytes, size_t length)
{
	while (batch->written < length) {
		ssize_t n = write(fd, bytes + batch->written, length - batch->written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO; /* a port that is broken */
		if (n <= 0)
			return errno == EAGAIN ? 0 : -1;
		batch->written += (size_t)n;
	}
	batch->written = 0;
	return 1;
}

int share_batch_write(struct share_batch *batch, struct share_queue *queue, int fd)
{
	for (;;) {
		int r;

		if (batch->used == 0 && !batch->large)
			gather(batch, queue);
		if (batch->used == 0 && !batch->large)
			return 1;
		if (batch->used > 0 && (r = write_rest(batch, fd, batch->bytes, batch->used)) <= 0)
			return r;
		batch->used = 0;
		if (!batch->large)
			continue;
		if ((r = write_rest(batch, fd, batch->large->bytes, batch->large->length)) <= 0)
			return r;
		batch->large = NULL;
		share_queue_written(queue);
	}
}
