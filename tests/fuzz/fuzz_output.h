#pragma once
/*
 * What a mux gives its link, checked a byte at a time: resync runs and whole frames, nothing behind
 * a GOAWAY.
 */
#include "wire/frame.h"
#include "wire/proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct fuzz_output {
	uint64_t hash; /* of all there was */
	size_t run_left, frame_length;
	uint8_t frame[PROTO_FRAME_MAX];
	bool goaway;
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void hash(uint64_t *state, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < length; i++)
		*state = (*state ^ at[i]) * 1099511628211ull;
}

static void fuzz_output_take(struct fuzz_output *output, uint8_t byte)
{
	struct frame frame;

	hash(&output->hash, &byte, 1);
	require(!output->goaway);
	if (output->run_left == 0 && output->frame_length == 0 && byte == 0)
		output->run_left = PROTO_RESYNC_RUN;
	if (output->run_left > 0) {
		require(byte == 0);
		output->run_left--;
		return;
	}
	output->frame[output->frame_length++] = byte;
	if (output->frame_length < PROTO_FRAME_HEADER)
		return;
	require(frame_decode(output->frame, PROTO_PAYLOAD_MAX, &frame));
	if (output->frame_length < PROTO_FRAME_HEADER + frame.length + 1)
		return;
	require(byte == PROTO_FRAME_END);
	output->goaway = frame.type == PROTO_GOAWAY;
	output->frame_length = 0;
}
