#include "share/replies.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void replies_clear(struct replies *replies)
{
	free(replies->ring);
	*replies = (struct replies){.ring = NULL};
}

void replies_add(struct replies *replies, const struct fuse_out_header *out, const void *bytes,
		 size_t length)
{
	struct reply *reply;

	if (length > REPLIES_BYTES)
		return;
	if (!replies->ring)
		replies->ring = xcalloc(REPLIES_COUNT, sizeof(*replies->ring));
	reply = &replies->ring[replies->next];
	replies->next = (replies->next + 1) % REPLIES_COUNT;
	reply->out = *out;
	if (length)
		memcpy(reply->bytes, bytes, length);
}

bool replies_find(const struct replies *replies, uint64_t unique, struct buf *reply)
{
	for (size_t i = 0; replies->ring && i < REPLIES_COUNT; i++) {
		const struct reply *kept = &replies->ring[i];

		if (kept->out.unique != unique)
			continue;
		(void)buf_append(reply, &kept->out, sizeof(kept->out));
		(void)buf_append(reply, kept->bytes, kept->out.len - sizeof(kept->out));
		return true;
	}
	return false;
}
