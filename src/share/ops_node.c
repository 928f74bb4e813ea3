/*
 * Requests about one node: what it is, what it is called, what the guest may change of it.
 */
#include "share/boundary.h"
#include "share/changes.h"
#include "share/fd_cache.h"
#include "share/locate.h"
#include "share/orphan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

#define TIMEOUT_PINNED 86400u
#define LINK_MAX_BYTES 4095
#define MAX_BACKGROUND 64
#define PAGE_BYTES     4096u

static const uint32_t wanted_flags =
    FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS |
    FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_NO_OPEN_SUPPORT | FUSE_PARALLEL_DIROPS |
    FUSE_ABORT_ERROR | FUSE_MAX_PAGES | FUSE_NO_OPENDIR_SUPPORT | FUSE_HANDLE_KILLPRIV_V2;

int op_init(struct call *call)
{
	struct fuse_init_in in;
	struct fuse_init_out out = {
	    .major = FUSE_MAJOR,
	    .minor = FUSE_MINOR,
	    .max_background = MAX_BACKGROUND,
	    .congestion_threshold = MAX_BACKGROUND * 3 / 4,
	    .max_write = SHARE_READ_MAX,
	    .time_gran = 1,
	    .max_pages = SHARE_READ_MAX / PAGE_BYTES,
	};
	int r = call_take(call, &in, sizeof(in));

	if (r < 0)
		return r;
	if (in.major < FUSE_MAJOR || (in.major == FUSE_MAJOR && in.minor < FUSE_MINOR_MIN))
		return -EPROTO;
	share_forget_all(call->share);
	/* A kernel with a newer major reads only ours and asks again. */
	if (in.minor < FUSE_MINOR && in.major == FUSE_MAJOR)
		out.minor = in.minor;
	out.flags = in.flags & wanted_flags;
	out.max_readahead = in.max_readahead < SHARE_READ_MAX ? in.max_readahead : SHARE_READ_MAX;
	return call_put(call, &out, sizeof(out));
}

static void fill_entry(const struct share *share, const struct node *node,
		       const struct os_stat *stat, struct fuse_entry_out *ret_entry)
{
	*ret_entry = (struct fuse_entry_out){
	    .nodeid = node->id,
	    .entry_valid = node->parent ? changes_entry_timeout(share, node->parent) : 0,
	    .attr_valid = changes_attr_timeout(share, node, stat),
	};
	attr_fill(share, node, stat, &ret_entry->attr);
}

static void fill_pinned(const struct share *share, struct fuse_entry_out *ret_entry)
{
	*ret_entry = (struct fuse_entry_out){
	    .nodeid = NODE_DEVBOX,
	    .entry_valid = TIMEOUT_PINNED,
	    .attr_valid = TIMEOUT_PINNED,
	};
	attr_fill_devbox(share, &ret_entry->attr);
}

int entry_find(struct share *share, struct node *parent, int dir, const char *name,
	       struct fuse_entry_out *ret_entry)
{
	struct os_stat stat;
	struct os_stat now;
	struct node_key key;
	struct node *node;
	int r = os_stat_at(dir, name, &stat);

	if (r < 0)
		return r;
	if (share_is_hidden(share, &stat))
		return -ENOENT;
	key = node_key_of(&stat);
	node = node_by_key(&share->nodes, &key);
	if (!node)
		node = node_add(&share->nodes, 0, &key);
	if (!node)
		return -ENFILE;
	if (node->id < NODE_FIRST)
		return -ESTALE; /* the root, moved into itself by somebody */
	if (node->place != NODE_IN_TREE) {
		orphan_drop(share, node);
		/* The orphan was one of its links. */
		if (os_stat_at(dir, name, &now) == 0 && os_same_object(&stat, &now))
			stat = now;
	}
	if (node->place == NODE_IN_TREE &&
	    (node->parent != parent || strcmp(node->name, name) != 0))
		changes_note_names(share, node, &stat);
	if (!changes_found(share, node, &stat, parent, name)) {
		node_release(&share->nodes, node);
		return -ESTALE;
	}
	attr_note_seen(node, &stat);
	node_count_lookup(&share->nodes, node);
	fill_entry(share, node, &stat, ret_entry);
	return 0;
}

int entry_reply(struct call *call, struct node *parent, int dir, const char *name)
{
	struct fuse_entry_out entry;
	int r = entry_find(call->share, parent, dir, name, &entry);

	return r < 0 ? r : call_put(call, &entry, sizeof(entry));
}

static bool is_dot(void *context, const char *name, uint64_t ino, uint32_t type, uint64_t cookie)
{
	bool *empty = context;

	(void)ino;
	(void)type;
	(void)cookie;
	*empty = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
	return *empty;
}

/* The guest may answer the LOOKUPs to come by itself. Not in a root with the pinned .devbox, which
 * is there whether the host has one or not. */
static void note_empty(struct call *call, int dir)
{
	struct share *share = call->share;
	auto_close int fd = -1;
	bool empty = false;

	if (call->node == share->root && share->devbox)
		return;
	fd = os_open(dir, ".", false);
	if (fd < 0 || os_read_dir(fd, 0, is_dot, &empty) < 0 || !empty)
		return;
	share->empty.unique = call->in->unique;
	share->empty.node = call->node->id;
	share->empty.seconds = CHANGES_LONG_S;
}

int op_lookup(struct call *call)
{
	struct share *share = call->share;
	auto_locate struct locate at = LOCATE_INIT;
	const char *name;
	bool first;
	int r = call_take_name(call, &name);

	if (r < 0)
		return r;
	if (call->node == share->root && share->devbox && strcmp(name, ".devbox") == 0) {
		struct fuse_entry_out entry;

		fill_pinned(share, &entry);
		return call_put(call, &entry, sizeof(entry));
	}
	if (call->node == share->devbox)
		return -ENOENT;
	if (boundary_hides(share_name_of(share, call->node), name))
		return -ENOENT;
	r = locate_dir(share, call->node, &at);
	if (r < 0)
		return r;
	first = call->node->watch < 0;
	changes_watch(share, call->node, at.dir);
	r = entry_reply(call, call->node, at.dir, name);
	/* That there is no such thing can be believed, too, as long as its coming is noticed. */
	if (r == -ENOENT && call->node->watch >= 0) {
		struct fuse_entry_out none = {
		    .entry_valid = changes_entry_timeout(share, call->node),
		};

		if (first && none.entry_valid == CHANGES_LONG_S)
			note_empty(call, at.dir);
		return call_put(call, &none, sizeof(none));
	}
	return r;
}

static void forget(struct share *share, uint64_t id, uint64_t count)
{
	struct node *node = node_by_id(&share->nodes, id);

	if (node && node->id >= NODE_FIRST)
		node_forget_lookups(&share->nodes, node, count);
}

int op_forget(struct call *call)
{
	struct fuse_forget_in in;
	int r = call_take(call, &in, sizeof(in));

	if (r == 0)
		forget(call->share, call->in->nodeid, in.nlookup);
	return r;
}

int op_batch_forget(struct call *call)
{
	struct fuse_batch_forget_in in;
	struct fuse_forget_one one;
	int r = call_take(call, &in, sizeof(in));

	/* The count is the guest's word; the body's end is ours. */
	for (uint32_t i = 0; r == 0 && i < in.count; i++) {
		r = call_take(call, &one, sizeof(one));
		if (r == 0)
			forget(call->share, one.nodeid, one.nlookup);
	}
	return r;
}

static int reply_attr(struct call *call)
{
	struct fuse_attr_out out = {0};
	struct node *node = call->node;
	struct os_stat stat;
	int r;

	if (node == call->share->devbox) {
		out.attr_valid = TIMEOUT_PINNED;
		attr_fill_devbox(call->share, &out.attr);
		return call_put(call, &out, sizeof(out));
	}
	r = locate_stat(call->share, node, &stat);
	if (r == 0) {
		attr_note_seen(node, &stat);
		attr_fill(call->share, node, &stat, &out.attr);
		out.attr_valid = changes_attr_timeout(call->share, node, &stat);
	} else if (node->place == NODE_GONE) {
		attr_fill_gone(call->share, node, &out.attr);
	} else {
		return r;
	}
	return call_put(call, &out, sizeof(out));
}

int op_getattr(struct call *call)
{
	return reply_attr(call);
}

/* chown is taken only where it changes nothing under the map. */
static int check_owner(const struct share *share, const struct fuse_setattr_in *in,
		       const struct os_stat *stat)
{
	struct fuse_attr attr;

	attr_fill(share, NULL, stat, &attr);
	if ((in->valid & FATTR_UID) && in->uid != attr.uid)
		return -EPERM;
	if ((in->valid & FATTR_GID) && in->gid != attr.gid)
		return -EPERM;
	return 0;
}

static int set_mode(struct node *node, const struct locate *at, const struct os_stat *stat,
		    uint32_t wanted)
{
	mode_t mode = attr_host_mode(wanted);

	/* The guest does not see a directory's setgid bit and does not mean to take it away. */
	if (S_ISDIR(stat->mode))
		mode |= stat->mode & S_ISGID;
	if (node->fd_pinned)
		return fchmod(node->fd, mode) < 0 ? -errno : 0;
	return os_chmod(at->dir, at->name, stat, mode);
}

static struct timespec time_wanted(uint32_t valid, uint32_t set, uint32_t now, uint64_t sec,
				   uint32_t nsec)
{
	if (!(valid & set))
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	if (valid & now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	return (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = nsec};
}

static int set_times(struct node *node, const struct locate *at, const struct os_stat *stat,
		     const struct fuse_setattr_in *in)
{
	struct timespec times[2] = {
	    time_wanted(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
	    time_wanted(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec),
	};

	if (in->atimensec > 999999999 || in->mtimensec > 999999999)
		return -EINVAL;
	if (node->fd_pinned)
		return futimens(node->fd, times) < 0 ? -errno : 0;
	return os_set_times(at->dir, at->name, stat, times);
}

static int set_size(struct share *share, struct node *node, uint64_t size)
{
	int fd;

	if (size > INT64_MAX)
		return -EFBIG;
	fd = fd_cache_get(share, node, true);
	if (fd < 0)
		return fd;
	changes_before_own(share, node, fd);
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

int op_setattr(struct call *call)
{
	struct share *share = call->share;
	auto_locate struct locate at = LOCATE_INIT;
	struct fuse_setattr_in in;
	struct os_stat stat;
	int r = call_take(call, &in, sizeof(in));

	if (r == 0)
		r = share_writable(share);
	if (r < 0)
		return r;
	if (call->node == share->devbox)
		return -EACCES;
	if (call->node->fd_pinned)
		r = os_stat_at(call->node->fd, "", &stat);
	else
		r = locate_object(share, call->node, &at, &stat);
	if (r == 0)
		r = check_owner(share, &in, &stat);
	if (r == 0 && (in.valid & FATTR_SIZE))
		r = set_size(share, call->node, in.size);
	if (r == 0 && (in.valid & FATTR_MODE))
		r = set_mode(call->node, &at, &stat, in.mode);
	if (r == 0 && (in.valid & (FATTR_ATIME | FATTR_MTIME)))
		r = set_times(call->node, &at, &stat, &in);
	if (r == 0)
		r = reply_attr(call);
	if (r == 0 && (in.valid & FATTR_SIZE))
		call->node->seen.young = false; /* it was the guest that wrote */
	return r;
}

int op_readlink(struct call *call)
{
	auto_locate struct locate at = LOCATE_INIT;
	struct os_stat stat;
	char target[LINK_MAX_BYTES + 1];
	ssize_t length;
	int r;

	if (!S_ISLNK(call->node->key.type))
		return -EINVAL;
	r = locate_object(call->share, call->node, &at, &stat);
	if (r < 0)
		return r;
	length = readlinkat(at.dir, at.name, target, sizeof(target));
	if (length < 0)
		return -errno;
	if ((size_t)length == sizeof(target))
		return -ENAMETOOLONG;
	return call_put(call, target, (size_t)length);
}

int op_statfs(struct call *call)
{
	struct statvfs fs;
	struct fuse_statfs_out out;

	if (fstatvfs(call->share->config.root, &fs) < 0)
		return -errno;
	out = (struct fuse_statfs_out){
	    .blocks = fs.f_blocks,
	    .bfree = fs.f_bfree,
	    .bavail = fs.f_bavail,
	    .files = fs.f_files,
	    .ffree = fs.f_ffree,
	    .bsize = (uint32_t)fs.f_bsize,
	    .namelen = NODE_NAME_MAX,
	    .frsize = (uint32_t)fs.f_frsize,
	};
	return call_put(call, &out, sizeof(out));
}
