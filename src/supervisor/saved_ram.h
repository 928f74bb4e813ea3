#pragma once
/*
 * Memory into a file and back, in pieces of SAVED_PIECE bytes, each with a checksum (XXH3, 64 bits,
 * never 0): a disk that lost a block, or a file that was cut, must not become a guest's memory.
 * What is zero is neither stored nor read: the file has holes there, and the checksum of a piece
 * that is all zero is 0.
 *
 * Pure functions on descriptors that may run on any thread; reading starts some more while it lasts.
 */
#include "base/err.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SAVED_PIECE ((size_t)1 << 20)

/* How many pieces `bytes` have. */
size_t saved_pieces(uint64_t bytes);

/* sums: one for each piece. Does not sync. ERR_CANCELLED when *cancel became true (may be NULL). */
int saved_ram_write(int from, int to, uint64_t bytes, uint64_t *sums, const atomic_bool *cancel,
		    struct err *err);
/* `to` must be all zero. ERR_INVALID when a piece is not what was written. */
int saved_ram_read(int from, int to, uint64_t bytes, const uint64_t *sums,
		   const atomic_bool *cancel, struct err *err);
