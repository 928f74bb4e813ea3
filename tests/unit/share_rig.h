#pragma once
/*
 * A share on a directory of the test's own, and the guest's kernel in a few lines: requests are put
 * together piece by piece and asked. Layout of the directory: project/ is shared, its .devbox/vm is
 * hidden and holds orphans/; outside/secret lies beside it.
 */
#include "share/fuse_proto.h"
#include "share/share.h"

#include "unit/temp_dir.h"

struct share_rig {
	struct temp_dir dir;
	struct share_config config;
	struct share *share;
	uint64_t unique;
	bool again; /* requests are marked as sent before */
	struct buf request;
	struct buf reply;
	const uint8_t *answer; /* of the last request, without its header */
	size_t answer_length;
};

#define auto_share_rig CLEANUP(share_rig_done)
void share_rig_init(struct share_rig *rig);
void share_rig_done(struct share_rig *rig);
/* Ends the server and starts another one, empty, on the same directory. */
void share_rig_restart(struct share_rig *rig);
/* The same without a place for orphans: a shared directory of another file system. */
void share_rig_restart_without_orphans(struct share_rig *rig);

void share_rig_begin(struct share_rig *rig, uint32_t opcode, uint64_t node);
void share_rig_add(struct share_rig *rig, const void *data, size_t length);
void share_rig_add_name(struct share_rig *rig, const char *name);
/* 0 or a negative errno; 1 when there was no answer; aborts on a malformed one. */
int share_rig_ask(struct share_rig *rig);

int share_rig_lookup(struct share_rig *rig, uint64_t parent, const char *name,
		     struct fuse_entry_out *ret_entry);
int share_rig_getattr(struct share_rig *rig, uint64_t node, struct fuse_attr_out *ret_out);
/* Walks "a/b/c" from the root; 0 when there is no such thing. */
uint64_t share_rig_node(struct share_rig *rig, const char *path);
int share_rig_make(struct share_rig *rig, uint64_t parent, const char *name, uint32_t mode,
		   uint64_t *ret_node);
int share_rig_symlink(struct share_rig *rig, uint64_t parent, const char *name, const char *target);
int share_rig_rename(struct share_rig *rig, uint64_t from, const char *name, uint64_t to,
		     const char *new_name, uint32_t flags);
int share_rig_remove(struct share_rig *rig, uint32_t opcode, uint64_t parent, const char *name);
int share_rig_write(struct share_rig *rig, uint64_t node, uint64_t offset, const char *text);
/* The number of bytes read into `ret_bytes` (at most 256), or a negative errno. */
int share_rig_read(struct share_rig *rig, uint64_t node, uint64_t offset, char *ret_bytes);
void share_rig_forget(struct share_rig *rig, uint64_t node, uint64_t count);
/* Whether a listing shows the name. */
bool share_rig_lists(struct share_rig *rig, uint64_t node, const char *name, bool plus);

/* Of files on the host, relative to the project. */
void share_rig_host_mkdir(struct share_rig *rig, const char *path);
void share_rig_host_put(struct share_rig *rig, const char *path, const char *text);
bool share_rig_host_has(struct share_rig *rig, const char *path);
