#pragma once
/*
 * The last answers to requests that must not be done twice. A guest that lost its server sends
 * again what was not answered; whether the old server had done it, only this knows.
 */
#include "base/buf.h"
#include "share/fuse_proto.h"

#include <stdbool.h>
#include <stdint.h>

#define REPLIES_COUNT 512 /* more than a guest has outstanding */
#define REPLIES_BYTES sizeof(struct fuse_entry_out)

struct replies {
	struct reply {
		struct fuse_out_header out;
		uint8_t bytes[REPLIES_BYTES];
	} * ring; /* made with the first one */
	size_t next;
};

void replies_clear(struct replies *replies);
void replies_add(struct replies *replies, const struct fuse_out_header *out, const void *bytes,
		 size_t length);
/* Appends the answer to this request, if it is there. */
bool replies_find(const struct replies *replies, uint64_t unique, struct buf *reply);
