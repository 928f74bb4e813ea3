#pragma once
/*
 * The host's stream of frames on the share port, as the guest reads it: bytes in, whole frames out.
 * Pure.
 *
 * A server that dies may leave half a frame behind. The next one starts with the hello of the dead
 * one, whose nonce only it and we know, and then says its own: found in the middle of a frame, that
 * is the end of the frame, which is thrown away. A hello that has only begun to arrive cannot pass
 * as the missing end of a frame, because the byte that ends frames is nowhere in it but at its end.
 */
#include "wire/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct share_stream {
	uint8_t *bytes;
	size_t used;
	size_t taken;	 /* of `used`, handed out */
	size_t searched; /* up to here no hello of the server we hear begins */
	uint64_t nonce;	 /* of the server we hear; 0: none yet */
	bool lost;	 /* what comes is no stream of frames; only the next server can end that */
};

void share_stream_init(struct share_stream *stream);
void share_stream_done(struct share_stream *stream);

/* Where the next bytes go, and how many at most (never 0). */
uint8_t *share_stream_space(struct share_stream *stream, size_t *ret_size);
void share_stream_fed(struct share_stream *stream, size_t length);

/* The next whole frame; its payload is valid until the next feeding. 1, 0: none yet, or -1: the
 * stream is lost from here on (said once). */
int share_stream_next(struct share_stream *stream, struct frame *ret_frame,
		      const uint8_t **ret_payload);
