/*
 * Reading a journal back. It comes from a file, so it is checked like any other input: lengths,
 * names, places, that parents are directories and that no way up is a circle. First all records are
 * read, the last of each node winning; then nodes are put under their parents.
 *
 * The device number in an identity is the mount's, and may have changed since. For the file system
 * of the share's root the start of the journal tells which one it was; what lies on another is
 * looked at, and is the same when all else is.
 */
#include "share/boundary.h"
#include "share/changes.h"
#include "share/journal.h"
#include "share/locate.h"
#include "share/orphan.h"

#include <string.h>

#define NOTICE_MAX                                                                                 \
	(sizeof(struct fuse_out_header) + sizeof(struct fuse_notify_inval_entry_out) +             \
	 NODE_NAME_MAX + 1)

struct reader {
	const uint8_t *at;
	size_t left;
};

/* The next record and its bytes. False at the end, be it in the middle of a record: the process
 * that wrote it may have died there. */
static bool next(struct reader *reader, struct journal_record *ret_record, const uint8_t **ret_body)
{
	size_t padded;

	if (reader->left < sizeof(*ret_record))
		return false;
	memcpy(ret_record, reader->at, sizeof(*ret_record));
	padded = ((size_t)ret_record->length + 7) & ~(size_t)7;
	if (padded > reader->left - sizeof(*ret_record))
		return false;
	*ret_body = reader->at + sizeof(*ret_record);
	reader->at += sizeof(*ret_record) + padded;
	reader->left -= sizeof(*ret_record) + padded;
	return true;
}

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "the share's saved state is damaged (%s)", what);
}

static struct node_key key_of(const struct journal_node *in)
{
	return (struct node_key){
	    .dev = in->dev,
	    .ino = in->ino,
	    .btime_sec = in->btime_sec,
	    .btime_nsec = in->btime_nsec,
	    .type = in->type,
	};
}

/* All of a node but its place: its parent may come later. */
static int read_node(struct share *share, const uint8_t *body, size_t length, uint64_t root_dev,
		     struct err *err)
{
	struct journal_node in;
	struct node_key key;
	struct node *node;

	if (length < sizeof(in) || length - sizeof(in) > NODE_NAME_MAX)
		return bad(err, "a node's length");
	memcpy(&in, body, sizeof(in));
	if (in.id < NODE_FIRST || in.id == UINT64_MAX || in.place > NODE_GONE)
		return bad(err, "a node's id or place");
	key = key_of(&in);
	if (key.dev == root_dev)
		key.dev = share->root->key.dev;
	node = node_by_id(&share->nodes, in.id);
	if (!node)
		node = node_add(&share->nodes, in.id, &key);
	else
		node_set_key(&share->nodes, node, &key);
	if (!node)
		return bad(err, "more nodes than allowed");
	if (in.id >= share->nodes.next_id)
		share->nodes.next_id = in.id + 1;
	node->lookups = in.lookups;
	node->seen = (struct node_seen){
	    .size = in.size,
	    .mtime = {.tv_sec = in.mtime_sec, .tv_nsec = in.mtime_nsec},
	    .ctime = {.tv_sec = in.ctime_sec, .tv_nsec = in.ctime_nsec},
	    .mode = in.mode,
	};
	return 0;
}

static int read_gone(struct share *share, const uint8_t *body, size_t length, struct err *err)
{
	struct journal_gone in;
	struct node *node;

	if (length != sizeof(in))
		return bad(err, "the end of a node");
	memcpy(&in, body, sizeof(in));
	node = node_by_id(&share->nodes, in.id);
	if (!node || in.id < NODE_FIRST)
		return 0;
	node->lookups = 0;
	node_release(&share->nodes, node);
	return 0;
}

static int read_start(struct share *share, const uint8_t *body, size_t length,
		      uint64_t *ret_root_dev, struct err *err)
{
	struct journal_start in;

	if (length != sizeof(in))
		return bad(err, "the start");
	memcpy(&in, body, sizeof(in));
	if (in.version != JOURNAL_VERSION)
		return bad(err, "its version");
	*ret_root_dev = in.root_dev;
	share_forget_all(share);
	share_was_told(share);
	if (in.next_id > share->nodes.next_id && in.next_id < UINT64_MAX / 2)
		share->nodes.next_id = in.next_id;
	return 0;
}

static int read_reply(struct share *share, const uint8_t *body, size_t length, struct err *err)
{
	struct fuse_out_header out;

	if (length < sizeof(out))
		return bad(err, "an answer's length");
	memcpy(&out, body, sizeof(out));
	if (out.len != length || length - sizeof(out) > REPLIES_BYTES)
		return bad(err, "an answer");
	replies_add(&share->replies, &out, body + sizeof(out), length - sizeof(out));
	return 0;
}

static int read_notice(struct share *share, const uint8_t *body, size_t length, struct err *err)
{
	struct fuse_out_header out;

	if (length == 0) {
		share->lost = true;
		return 0;
	}
	if (length < sizeof(out) || length > NOTICE_MAX)
		return bad(err, "a notice's length");
	memcpy(&out, body, sizeof(out));
	if (out.len != length || out.unique != 0)
		return bad(err, "a notice");
	/* More than ever wait: the first ones were told most surely. */
	while (buf_append(&share->notices, body, length) < 0) {
		memcpy(&out, buf_data(&share->notices), sizeof(out));
		buf_consume(&share->notices, out.len);
		share->lost = true;
	}
	return 0;
}

static int read_records(struct share *share, struct reader reader, uint64_t *ret_root_dev,
			struct err *err)
{
	struct journal_record record;
	const uint8_t *body;
	int r = 0;

	while (r == 0 && next(&reader, &record, &body)) {
		switch (record.type) {
		case JOURNAL_START:
			r = read_start(share, body, record.length, ret_root_dev, err);
			break;
		case JOURNAL_NODE:
			r = read_node(share, body, record.length, *ret_root_dev, err);
			break;
		case JOURNAL_GONE:
			r = read_gone(share, body, record.length, err);
			break;
		case JOURNAL_REPLY:
			r = read_reply(share, body, record.length, err);
			break;
		case JOURNAL_NOTICE:
			r = read_notice(share, body, record.length, err);
			break;
		default:
			r = bad(err, "an unknown record");
		}
	}
	return r;
}

static int place_node(struct share *share, const uint8_t *body, size_t length, struct err *err)
{
	struct journal_node in;
	struct node *node;
	struct node *parent;
	char name[NODE_NAME_MAX + 1];
	size_t name_length = length - sizeof(in);

	memcpy(&in, body, sizeof(in));
	node = node_by_id(&share->nodes, in.id);
	if (!node)
		return 0; /* it went later */
	if (in.place != NODE_IN_TREE) {
		/* A descriptor that kept an unlinked file ended with its process. */
		node_leave(&share->nodes, node, (enum node_place)in.place);
		return 0;
	}
	parent = node_by_id(&share->nodes, in.parent);
	memcpy(name, body + sizeof(in), name_length);
	name[name_length] = '\0';
	if (boundary_check_name(name, name_length) < 0)
		return bad(err, "a name");
	/* An earlier record of a node may name a parent that went; the last one does not. */
	if (!parent || !S_ISDIR(parent->key.type) || !node_move(&share->nodes, node, parent, name))
		node_leave(&share->nodes, node, NODE_GONE);
	return 0;
}

/* Only what follows the last start counts. */
static struct reader last_start(struct reader reader)
{
	struct journal_record record;
	const uint8_t *body;
	struct reader from = reader;

	while (next(&reader, &record, &body))
		if (record.type == JOURNAL_START)
			from = reader;
	return from;
}

static int place_nodes(struct share *share, struct reader reader, struct err *err)
{
	struct journal_record record;
	const uint8_t *body;
	int r = 0;

	while (r == 0 && next(&reader, &record, &body))
		if (record.type == JOURNAL_NODE)
			r = place_node(share, body, record.length, err);
	return r;
}

static void look_for_device(struct share *share, struct node *node)
{
	auto_locate struct locate at = LOCATE_INIT;
	struct os_stat stat;
	struct node_key found;
	struct node_key other;

	if (locate_node(share, node, &at) < 0 || os_stat_at(at.dir, at.name, &stat) < 0)
		return;
	found = node_key_of(&stat);
	other = found;
	other.dev = node->key.dev;
	if (node_key_equal(&other, &node->key))
		node_set_key(&share->nodes, node, &found);
}

static void look_for_devices(struct share *share, struct reader reader, uint64_t root_dev)
{
	struct journal_record record;
	const uint8_t *body;

	while (next(&reader, &record, &body)) {
		struct journal_node in;
		struct node *node;

		if (record.type != JOURNAL_NODE)
			continue;
		memcpy(&in, body, sizeof(in));
		node = in.dev == root_dev ? NULL : node_by_id(&share->nodes, in.id);
		if (node)
			look_for_device(share, node);
	}
}

int share_load(struct share *share, const void *bytes, size_t length, struct err *err)
{
	struct reader reader = {.at = bytes, .left = length};
	struct reader first = reader;
	struct journal_record record;
	const uint8_t *body;
	uint64_t root_dev = 0;
	int r = 0;

	if (length > 0 && (!next(&first, &record, &body) || record.type != JOURNAL_START))
		r = bad(err, "its beginning");
	if (r == 0)
		r = read_records(share, reader, &root_dev, err);
	reader = last_start(reader);
	/* A parent that a node leaves may be needed by one that comes later. */
	share->nodes.holding = true;
	if (r == 0)
		r = place_nodes(share, reader, err);
	node_table_sweep(&share->nodes);
	if (r == 0) {
		look_for_devices(share, reader, root_dev);
		share->remembers = length > 0;
	} else {
		share_forget_all(share);
		share_was_told(share);
	}
	orphan_sweep(share);
	/* Nobody watched in between. */
	if (length > 0)
		changes_suspect_all(share);
	return r;
}
