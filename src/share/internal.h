#pragma once
/*
 * What the files of the share have in common; nobody outside includes this.
 *
 * A request is a `struct call`. A handler (share.c has the table) parses the body with call_take
 * and call_take_name, does its work, and puts the answer with call_put; it returns 0 or a negative
 * errno, and then nothing it put is sent.
 */
#include "share/fuse_proto.h"
#include "share/node.h"
#include "share/os.h"
#include "share/replies.h"
#include "share/share.h"

#define NOBODY	      65534u
#define PROTECTED_MAX 32
#define ROOTS_MAX     15 /* of other shares */
#define FILES_IDLE_MS 50 /* then a writable descriptor is closed: no ETXTBSY on the host */
#define JOURNAL_MAX   ((size_t)1 << 30)

struct share {
	struct share_config config;
	char *root_name;
	struct node_table nodes;
	struct node *root;
	struct node *devbox; /* NULL without local_devbox */
	struct node_key hidden;
	bool has_hidden;
	/* Directories above the hidden one, and roots of other shares. */
	struct node_key protected[PROTECTED_MAX + ROOTS_MAX];
	size_t protected_count;
	struct list open; /* nodes with a descriptor, least recently used first */
	size_t open_count;
	size_t pinned_count;
	uint64_t now_ms;
	bool remembers; /* what an earlier server knew */
	struct replies replies;
	struct list changed; /* nodes whose state is not in the journal yet */
	struct buf journal;
	bool journaling;
	int watch;		/* -1: none, see watch.h */
	struct node **by_watch; /* buckets, by the number of the watch */
	size_t watches;
	size_t many_names; /* nodes that have more names than the one we know */
	struct buf notices;
	bool lost; /* news, and the guest was not told so yet */
	struct {
		uint64_t nodeid; /* 0: none */
		struct fuse_attr_out out;
	} along; /* of the directory that the last request changed */
	struct {
		uint64_t unique; /* 0: none */
		uint64_t node, seconds;
	} empty; /* the directory that the last request found so */
	enum {
		SUSPECT_NOTHING,
		SUSPECT_WATCHING,
		SUSPECT_COMPARING,
	} suspecting; /* how far changes_step is */
	size_t suspect_slot;
};

struct call {
	struct share *share;
	const struct fuse_in_header *in;
	struct node *node; /* of the header's nodeid; known to the guest */
	const uint8_t *body;
	size_t length;
	bool again; /* an earlier server may have done it: what is done already is no error */
	struct buf *reply;
};

/* Copies the next `size` bytes of the body; -EINVAL when there are fewer. */
int call_take(struct call *call, void *ret, size_t size);
/* The next NUL-terminated string of the body, at most 4095 bytes; valid as long as the request. */
int call_take_string(struct call *call, const char **ret_string);
/* The same, checked to be one component of a path. */
int call_take_name(struct call *call, const char **ret_name);
int call_put(struct call *call, const void *data, size_t size);
int call_put_attr(struct call *call, struct node *node, const struct os_stat *stat);

/* A node that the guest holds a lookup of; NULL for ids that are forged, late or unknown. */
struct node *share_node(struct share *share, uint64_t id);
/* As at the start, but for ids, which are never used again. */
void share_forget_all(struct share *share);
/* 0, or why nothing may be written: -EROFS. */
int share_writable(const struct share *share);
/* Whether this is the pinned .devbox, however it is spelled. */
bool share_is_pinned(const struct share *share, const struct node *parent, const char *name);
/* Whether the object is the hidden directory, or one above it that must stay where it is. */
bool share_is_hidden(const struct share *share, const struct os_stat *stat);
bool share_is_protected(const struct share *share, const struct os_stat *stat);
const char *share_name_of(const struct share *share, const struct node *node);

/* The number that the guest sees of an object. */
uint64_t attr_ino(const struct share *share, uint64_t dev, uint64_t ino);
void attr_fill(const struct share *share, const struct node *node, const struct os_stat *stat,
	       struct fuse_attr *ret_attr);
/* For a node of which only the memory is left. */
void attr_fill_gone(const struct share *share, const struct node *node, struct fuse_attr *ret_attr);
void attr_fill_devbox(const struct share *share, struct fuse_attr *ret_attr);
bool attr_same_time(const struct timespec *a, const struct timespec *b);
void attr_note_seen(struct node *node, const struct os_stat *stat);
/* The host's mode for one the guest asks for. */
mode_t attr_host_mode(uint32_t mode);

/* Finds what has this name, makes or finds its node, places it, counts a lookup. */
int entry_find(struct share *share, struct node *parent, int dir, const char *name,
	       struct fuse_entry_out *ret_entry);
int entry_reply(struct call *call, struct node *parent, int dir, const char *name);

int op_init(struct call *call);
int op_lookup(struct call *call);
int op_forget(struct call *call);
int op_batch_forget(struct call *call);
int op_getattr(struct call *call);
int op_setattr(struct call *call);
int op_readlink(struct call *call);
int op_statfs(struct call *call);
int op_read(struct call *call);
int op_write(struct call *call);
int op_fsync(struct call *call);
int op_fallocate(struct call *call);
int op_lseek(struct call *call);
int op_copy_file_range(struct call *call);
int op_readdir(struct call *call);
int op_readdirplus(struct call *call);
int op_fsyncdir(struct call *call);
int op_mknod(struct call *call);
int op_mkdir(struct call *call);
int op_symlink(struct call *call);
int op_link(struct call *call);
int op_unlink(struct call *call);
int op_rmdir(struct call *call);
int op_rename(struct call *call);
int op_rename2(struct call *call);
