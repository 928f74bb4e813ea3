#include "share/journal.h"

#include <string.h>

static int put(struct buf *buf, enum journal_type type, const void *fixed, size_t fixed_length,
	       const void *tail, size_t tail_length)
{
	static const uint8_t padding[8];
	struct journal_record record = {
	    .type = type,
	    .length = (uint32_t)(fixed_length + tail_length),
	};

	if (buf_append(buf, &record, sizeof(record)) < 0 ||
	    buf_append(buf, fixed, fixed_length) < 0 || buf_append(buf, tail, tail_length) < 0)
		return -1;
	return buf_append(buf, padding, -record.length & 7);
}

static int put_start(const struct share *share, struct buf *buf)
{
	struct journal_start start = {
	    .version = JOURNAL_VERSION,
	    .next_id = share->nodes.next_id,
	    .root_dev = share->root->key.dev,
	};

	return put(buf, JOURNAL_START, &start, sizeof(start), NULL, 0);
}

static int put_node(const struct node *node, struct buf *buf)
{
	struct journal_node out = {
	    .id = node->id,
	    .parent = node->parent ? node->parent->id : 0,
	    .dev = node->key.dev,
	    .ino = node->key.ino,
	    .lookups = node->lookups,
	    .size = node->seen.size,
	    .btime_sec = node->key.btime_sec,
	    .mtime_sec = node->seen.mtime.tv_sec,
	    .ctime_sec = node->seen.ctime.tv_sec,
	    .btime_nsec = node->key.btime_nsec,
	    .mtime_nsec = (uint32_t)node->seen.mtime.tv_nsec,
	    .ctime_nsec = (uint32_t)node->seen.ctime.tv_nsec,
	    .type = node->key.type,
	    .mode = node->seen.mode,
	    .place = node->place,
	};
	const char *name = node->name ? node->name : "";

	return put(buf, JOURNAL_NODE, &out, sizeof(out), name, strlen(name));
}

void journal_changed(struct share *share, struct node *node)
{
	if (share->journaling && node->id >= NODE_FIRST && list_empty(&node->changed))
		list_append(&share->changed, &node->changed);
}

void journal_gone(struct share *share, struct node *node)
{
	struct journal_gone gone = {.id = node->id};

	list_remove(&node->changed);
	if (share->journaling)
		(void)put(&share->journal, JOURNAL_GONE, &gone, sizeof(gone), NULL, 0);
}

void journal_start(struct share *share)
{
	if (share->journaling)
		(void)put_start(share, &share->journal);
}

void journal_reply(struct share *share, const struct fuse_out_header *out, const void *bytes,
		   size_t length)
{
	if (share->journaling && length <= REPLIES_BYTES)
		(void)put(&share->journal, JOURNAL_REPLY, out, sizeof(*out), bytes, length);
}

void journal_notice(struct share *share, const void *bytes, size_t length)
{
	if (share->journaling)
		(void)put(&share->journal, JOURNAL_NOTICE, bytes, length, NULL, 0);
}

static int put_notices(const struct share *share, struct buf *buf)
{
	const uint8_t *at = buf_data(&share->notices);
	const uint8_t *end = at + buf_length(&share->notices);
	int r = share->lost ? put(buf, JOURNAL_NOTICE, NULL, 0, NULL, 0) : 0;

	while (at < end) {
		uint32_t length; /* the first field of a fuse_out_header */

		memcpy(&length, at, sizeof(length));
		r |= put(buf, JOURNAL_NOTICE, at, length, NULL, 0);
		at += length;
	}
	return r;
}

struct buf *share_journal(struct share *share)
{
	if (!share->journaling) {
		share->journaling = true;
		(void)share_snapshot(share, &share->journal);
	}
	list_each(link, tmp, &share->changed) {
		struct node *node = list_entry(link, struct node, changed);

		list_remove(&node->changed);
		(void)put_node(node, &share->journal);
	}
	return &share->journal;
}

int share_snapshot(struct share *share, struct buf *ret_bytes)
{
	int r = put_start(share, ret_bytes);

	for (size_t i = 0; i < share->nodes.buckets; i++)
		for (struct node *node = share->nodes.by_id[i]; node; node = node->next_by_id)
			if (node->id >= NODE_FIRST)
				r |= put_node(node, ret_bytes);
	/* Oldest first, so that the ring turns on where it stood. */
	for (size_t i = 0; share->replies.ring && i < REPLIES_COUNT; i++) {
		const struct reply *reply =
		    &share->replies.ring[(share->replies.next + i) % REPLIES_COUNT];

		if (reply->out.unique)
			r |= put(ret_bytes, JOURNAL_REPLY, &reply->out, sizeof(reply->out),
				 reply->bytes, reply->out.len - sizeof(reply->out));
	}
	return r | put_notices(share, ret_bytes);
}
