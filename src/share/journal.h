#pragma once
/*
 * What a share writes down so that another process can go on as it (share_journal in share.h), and
 * the record format, which restore.c reads. Records are in this machine's byte order: a journal is
 * read only where it was written. A record says the whole state of one node, so the last one counts
 * and their order is of no importance otherwise.
 */
#include "share/internal.h"

enum journal_type {
	JOURNAL_START = 1, /* everything before is void */
	JOURNAL_NODE = 2,
	JOURNAL_GONE = 3,
	JOURNAL_REPLY = 4,
	JOURNAL_NOTICE = 5,
};

struct journal_record {
	uint32_t type;
	uint32_t length; /* of what follows, without padding */
};

struct journal_start {
	uint64_t version;
	uint64_t next_id;
	uint64_t root_dev; /* a device number is the mount's: by then it may be another */
};
#define JOURNAL_VERSION 2

struct journal_node { /* the name follows, without NUL */
	uint64_t id, parent, dev, ino, lookups, size;
	int64_t btime_sec, mtime_sec, ctime_sec;
	uint32_t btime_nsec, mtime_nsec, ctime_nsec;
	uint32_t type, mode, place;
};

struct journal_gone {
	uint64_t id;
};

/* JOURNAL_REPLY: struct fuse_out_header and the answer.
 * JOURNAL_NOTICE: a FUSE notification, or nothing when news were lost. */

void journal_changed(struct share *share, struct node *node);
void journal_gone(struct share *share, struct node *node);
void journal_start(struct share *share);
void journal_notice(struct share *share, const void *bytes, size_t length);
void journal_reply(struct share *share, const struct fuse_out_header *out, const void *bytes,
		   size_t length);
