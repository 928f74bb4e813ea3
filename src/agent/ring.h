#pragma once
/*
 * The last RING_BYTES of a stream of bytes, found by their position in it: the first byte ever has
 * position 0. Appending drops the oldest. Storage is the ring's, of a fixed size, and there only
 * between ring_init and ring_done; the kernel gives memory as it is filled.
 */
#include <stddef.h>
#include <stdint.h>

#define RING_BYTES (256u << 10)

struct ring {
	uint8_t *bytes;
	uint64_t end; /* position behind the last byte */
};

void ring_init(struct ring *ring);
void ring_done(struct ring *ring);

void ring_append(struct ring *ring, const void *bytes, size_t length);

/* Of the oldest byte that is still there. */
uint64_t ring_oldest(const struct ring *ring);

/* How many bytes lie together from `position` on, which is between oldest and end. */
size_t ring_peek(const struct ring *ring, uint64_t position, const uint8_t **ret_bytes);

/* Bytes from one position up to another, both between oldest and end. */
void ring_overwrite(struct ring *ring, uint64_t from, uint64_t to, uint8_t with);

/* Where to begin so that nothing from `position` on is missing and a line is not begun in its
 * middle, if there is such a place nearby. */
uint64_t ring_line_start(const struct ring *ring, uint64_t position);
