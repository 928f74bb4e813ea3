#include "agent/ring.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <string.h>

#define LINE_MAX_BYTES 4096 /* how far a beginning of a line is looked for */

void ring_init(struct ring *ring)
{
	ring->bytes = xcalloc(RING_BYTES, 1);
	ring->end = 0;
}

void ring_done(struct ring *ring)
{
	free(take_ptr(&ring->bytes));
}

uint64_t ring_oldest(const struct ring *ring)
{
	return ring->end > RING_BYTES ? ring->end - RING_BYTES : 0;
}

static uint8_t *at(const struct ring *ring, uint64_t position)
{
	return &ring->bytes[position % RING_BYTES];
}

void ring_append(struct ring *ring, const void *bytes, size_t length)
{
	const uint8_t *from = bytes;

	while (length > 0) {
		size_t room = RING_BYTES - (size_t)(ring->end % RING_BYTES);
		size_t part = length < room ? length : room;

		memcpy(at(ring, ring->end), from, part);
		ring->end += part;
		from += part;
		length -= part;
	}
}

size_t ring_peek(const struct ring *ring, uint64_t position, const uint8_t **ret_bytes)
{
	size_t together = RING_BYTES - (size_t)(position % RING_BYTES);
	uint64_t left = ring->end - position;

	*ret_bytes = at(ring, position);
	return left < together ? (size_t)left : together;
}

void ring_overwrite(struct ring *ring, uint64_t from, uint64_t to, uint8_t with)
{
	for (uint64_t p = from; p < to; p++)
		*at(ring, p) = with;
}

/* Forwards from the oldest byte, when the line of `position` is not whole any more. */
static uint64_t next_line(const struct ring *ring, uint64_t position)
{
	for (uint64_t p = position; p < ring->end && p - position < LINE_MAX_BYTES; p++)
		if (*at(ring, p) == '\n')
			return p + 1;
	return position;
}

uint64_t ring_line_start(const struct ring *ring, uint64_t position)
{
	uint64_t oldest = ring_oldest(ring);

	if (position < oldest)
		return next_line(ring, oldest);
	for (uint64_t p = position; position - p < LINE_MAX_BYTES; p--) {
		if (p == 0 || (p > oldest && *at(ring, p - 1) == '\n'))
			return p;
		if (p == oldest)
			break;
	}
	return position;
}
