#pragma once
/*
 * The frame header: encode and decode, nothing else. See proto.h for the layout.
 *
 * check = 0xa5 xor of the other eleven header bytes: it finds a reader that lost its place in the
 * stream at once instead of after a bogus length of gigabytes; it is no protection against a
 * hostile peer and needs none. An all-zero header fails it, which is how a resync run is seen.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_CHECK_SEED 0xa5

struct frame {
	uint8_t type;
	uint8_t flags;
	uint32_t channel;
	uint32_t length; /* of the payload */
};

/* Writes PROTO_FRAME_HEADER bytes. */
void frame_encode(const struct frame *frame, uint8_t *ret_header);

/* Reads PROTO_FRAME_HEADER bytes. False: check byte wrong, reserved byte set, or length over `max`.
 */
bool frame_decode(const uint8_t *header, uint32_t max, struct frame *ret_frame);
