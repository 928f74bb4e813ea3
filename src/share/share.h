#pragma once
/*
 * The file server behind the project share, as a function from FUSE requests to answers: no
 * sockets, no threads, no clock of its own but for the time of day. The guest that writes the
 * requests is hostile; so is, less politely, any process that changes the directory at the same
 * time.
 *
 * Lent: the descriptors of the config, which must outlive the share. Everything else is the
 * share's. Bounded: nodes (nodes_max, then lookups answer ENFILE), descriptors (files_max and
 * pinned_max), watches (watches_max, then answers are believed for a second), the size of one answer
 * (SHARE_REPLY_MAX). FUSE's facts: share/fuse_proto.h; the design:
 * docs/share.md.
 */
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SHARE_READ_MAX	  (1u << 20) /* of a READ or WRITE */
#define SHARE_REPLY_MAX	  (SHARE_READ_MAX + 4096u)
#define SHARE_REQUEST_MAX (SHARE_READ_MAX + 65536u)
#define SHARE_NODES_MAX	  1000000u
#define SHARE_FILES_MAX	  512u
#define SHARE_PINNED_MAX  256u
#define SHARE_WATCHES_MAX 65536u

struct share_config {
	int root;	       /* the shared directory */
	const char *root_name; /* its own name on the host, for the boundary; copied */
	bool read_only;
	bool watch;	   /* learn of changes by others, where the host can tell */
	bool local_devbox; /* the top-level .devbox is a mount point for the guest's own */
	uint32_t number;   /* tells the orphans of several shares apart */
	int orphans;	   /* directory for unlinked files in use, same file system; or -1 */
	int hidden;	/* directory that is hidden wherever it lies (the data directory); or -1 */
	uid_t host_uid; /* this pair of ids is mapped, all others are nobody */
	gid_t host_gid;
	uint32_t guest_uid, guest_gid;
	/* Ids of nodes start here, unless a journal says more. Without one, random: a guest
	 * may still hold ids of an earlier share. */
	uint64_t first_id;
	size_t nodes_max;   /* 0: SHARE_NODES_MAX */
	size_t files_max;   /* 0: SHARE_FILES_MAX */
	size_t pinned_max;  /* of files that have no name any more; 0: SHARE_PINNED_MAX */
	size_t watches_max; /* 0: SHARE_WATCHES_MAX */
};

struct share;

struct share *share_new(const struct share_config *config, struct err *err);
void share_free(struct share *share);

/* Where shares overlap, the other one's root stays where it is and keeps its name, by which that one
 * knows what is hidden in it. */
int share_protect_root(struct share *share, const struct share *other, struct err *err);

/* Removes what shares left among the orphans that are none any more: those whose number is not
 * `used`. -1: there are no orphans. */
void share_sweep_orphans(int orphans, const bool *used, size_t count);

/* Answers one request. The answer is appended to `reply`; nothing is appended where FUSE wants no
 * answer. `again`: it was given to another server before, which may have done it without living to
 * tell. -1: this is no FUSE request at all, the peer is broken. */
int share_request(struct share *share, const void *request, size_t length, bool again,
		  struct buf *reply);

/* After a request that changed a directory: what the guest's kernel will ask next, its attributes.
 * Appends u64 node and struct fuse_attr_out, or nothing. */
void share_along(const struct share *share, struct buf *ret_bytes);

/* After a LOOKUP that was the first to look into a directory: if that is empty, and watched from
 * before it was found to be so, appends u64 unique (of the request), u64 node, u64 seconds for which
 * the guest may believe it; or nothing. */
void share_empty(const struct share *share, struct buf *ret_bytes);

/*
 * What survives the process. The journal grows with each request by what it changed: the nodes the
 * guest holds, and the last answers, so that a request sent again after a crash is not done twice.
 * Before an answer is given away, the journal up to it must be kept. Fed to share_load, a journal
 * (or a snapshot, or a snapshot and what came after it) makes a new share the old one.
 */
/* Starts journaling; the journal's bytes are to be taken with buf_consume. */
struct buf *share_journal(struct share *share);
/* Appends the whole state; replaces all that the journal said before. -1: over the ceiling. */
int share_snapshot(struct share *share, struct buf *ret_bytes);
/* Into a new share, before anything else. Everything is checked; on failure the share is as new.
 * Length 0 is the state of a share that served nobody. */
int share_load(struct share *share, const void *bytes, size_t length, struct err *err);

/* What others change on the host: a descriptor to poll (-1: none), to be read before requests that
 * came later are answered, once a turn, and what the guest must be told. Notices are FUSE
 * notifications, each with its fuse_out_header; they are to be taken whole with buf_consume. */
int share_watch_fd(const struct share *share);
void share_watch_read(struct share *share);
struct buf *share_notices(struct share *share);
/* True once after news were lost: then the guest must drop the names it does not use. That something
 * is not there it may believe of any name, and which ones nobody here remembers. */
bool share_take_lost(struct share *share);
/* Whether the guest must be told any of that. */
bool share_has_news(const struct share *share);
/* After share_load, which brings back what the guest was to be told: the share before had told it. */
void share_was_told(struct share *share);

/* Tells the time (monotonic) and lets the share close what was not used for a while. Returns in how
 * many milliseconds it wants to be called again, -1: only after the next request. */
int share_tick(struct share *share, uint64_t now_ms);
