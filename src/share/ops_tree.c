/*
 * Requests that make, remove and move names. Every one passes the boundary first: nothing becomes
 * `.devbox/vm`, be it by name, by a directory that comes to be called .devbox, or by a link.
 */
#include "share/boundary.h"
#include "share/changes.h"
#include "share/locate.h"
#include "share/orphan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Whether `name` may be made in a directory; -EACCES is the boundary's word. */
static int may_make(struct share *share, struct node *parent, const char *name, bool directory)
{
	int r = share_writable(share);

	if (r < 0)
		return r;
	if (!S_ISDIR(parent->key.type))
		return -ENOTDIR;
	if (parent == share->devbox || share_is_pinned(share, parent, name))
		return -EACCES;
	if (boundary_hides(share_name_of(share, parent), name))
		return -EACCES;
	/* Only a directory is called .devbox: a link of that name could lead to any `vm`. */
	if (!directory && boundary_is_devbox(name))
		return -EACCES;
	return 0;
}

static int may_remove(struct share *share, struct node *parent, const char *name)
{
	int r = share_writable(share);

	if (r < 0)
		return r;
	if (!S_ISDIR(parent->key.type))
		return -ENOTDIR;
	if (share_is_pinned(share, parent, name))
		return -EACCES;
	if (parent == share->devbox || boundary_hides(share_name_of(share, parent), name))
		return -ENOENT;
	return 0;
}

/* Takes a name and opens the directory it is to be made in. */
static int begin_make(struct call *call, bool directory, const char **ret_name,
		      struct locate *ret_at)
{
	const char *name;
	int r = call_take_name(call, &name);

	if (r == 0)
		r = may_make(call->share, call->node, name, directory);
	if (r == 0)
		r = locate_dir(call->share, call->node, ret_at);
	if (r == 0)
		*ret_name = name;
	return r;
}

/* Whether a name that was to be made is there because we, before we died, made it. */
static bool made_before(const struct call *call, int r, int dir, const char *name, uint32_t type)
{
	struct os_stat stat;

	return r == -EEXIST && call->again && os_stat_at(dir, name, &stat) == 0 &&
	       (stat.mode & S_IFMT) == type;
}

/* The answer to a request that made `name`. */
static int reply_made(struct call *call, int dir, const char *name)
{
	changes_own(call->share, call->node, dir);
	return entry_reply(call, call->node, dir, name);
}

int op_mknod(struct call *call)
{
	auto_locate struct locate at = LOCATE_INIT;
	struct fuse_mknod_in in;
	const char *name;
	mode_t mode;
	int r = call_take(call, &in, sizeof(in));

	if (r == 0)
		r = begin_make(call, false, &name, &at);
	if (r != 0)
		return r;
	mode = attr_host_mode(in.mode);
	if (S_ISREG(in.mode)) {
		r = os_mkfile(at.dir, name, mode);
	} else if (S_ISFIFO(in.mode)) {
		r = os_mkfifo(at.dir, name, mode);
	} else if (S_ISSOCK(in.mode)) {
		r = os_mksock(at.dir, name, mode);
	} else {
		r = -EPERM;
	}
	if (r < 0 && !made_before(call, r, at.dir, name, in.mode & S_IFMT))
		return r;
	return reply_made(call, at.dir, name);
}

int op_mkdir(struct call *call)
{
	auto_locate struct locate at = LOCATE_INIT;
	struct fuse_mkdir_in in;
	const char *name;
	int r = call_take(call, &in, sizeof(in));

	if (r == 0)
		r = begin_make(call, true, &name, &at);
	if (r != 0)
		return r;
	if (mkdirat(at.dir, name, attr_host_mode(in.mode)) < 0) {
		r = -errno;
		if (!made_before(call, r, at.dir, name, S_IFDIR))
			return r;
	}
	return reply_made(call, at.dir, name);
}

int op_symlink(struct call *call)
{
	auto_locate struct locate at = LOCATE_INIT;
	const char *target;
	const char *name;
	int r = begin_make(call, false, &name, &at);

	if (r == 0)
		r = call_take_string(call, &target);
	if (r != 0)
		return r;
	if (symlinkat(target, at.dir, name) < 0) {
		r = -errno;
		if (!made_before(call, r, at.dir, name, S_IFLNK))
			return r;
	}
	return reply_made(call, at.dir, name);
}

int op_link(struct call *call)
{
	auto_locate struct locate to = LOCATE_INIT;
	auto_locate struct locate from = LOCATE_INIT;
	struct fuse_link_in in;
	struct os_stat stat;
	const char *name;
	struct node *node;
	int r = call_take(call, &in, sizeof(in));

	if (r == 0)
		r = begin_make(call, false, &name, &to);
	if (r != 0)
		return r;
	node = share_node(call->share, in.oldnodeid);
	if (!node)
		return -ESTALE;
	if (S_ISDIR(node->key.type))
		return -EPERM;
	/* A name that we do not know, but the guest does, is found when it looks again. */
	if (node->place != NODE_IN_TREE)
		return locate_stat(call->share, node, &stat) == 0 && stat.nlink == 0 ? -ENOENT
										     : -ESTALE;
	r = locate_object(call->share, node, &from, &stat);
	if (r != 0)
		return r;
	if (linkat(from.dir, from.name, to.dir, name, 0) < 0) {
		r = -errno;
		if (!made_before(call, r, to.dir, name, stat.mode & S_IFMT))
			return r;
	}
	return reply_made(call, to.dir, name);
}

/* It was there when the guest asked the first time. */
static int removed_before(struct call *call, const char *name)
{
	struct node *node = node_by_place(&call->share->nodes, call->node, name);

	if (node && node->id >= NODE_FIRST)
		node_leave(&call->share->nodes, node, NODE_GONE);
	return 0;
}

/* Whether what was looked for with result `r` went before: what is there now the guest cannot mean, so
 * the host made it since. */
static bool went_before(const struct call *call, int r, const struct os_stat *stat)
{
	struct node_key key;

	if (!call->again || r != 0)
		return call->again && r == -ENOENT;
	key = node_key_of(stat);
	return call->share->remembers && !node_is_held(&call->share->nodes, &key);
}

/* What the request wants removed, if it may be: its directory, its name there and what it is. */
static int begin_remove(struct call *call, const char **ret_name, struct locate *ret_at,
			struct os_stat *ret_stat)
{
	int r = call_take_name(call, ret_name);

	if (r == 0)
		r = may_remove(call->share, call->node, *ret_name);
	if (r == 0)
		r = locate_dir(call->share, call->node, ret_at);
	if (r == 0)
		r = os_stat_at(ret_at->dir, *ret_name, ret_stat);
	return r;
}

int op_unlink(struct call *call)
{
	auto_locate struct locate at = LOCATE_INIT;
	struct os_stat stat;
	const char *name;
	int r = begin_remove(call, &name, &at, &stat);

	if (went_before(call, r, &stat))
		return removed_before(call, name);
	if (r != 0)
		return r;
	if (S_ISDIR(stat.mode))
		return -EISDIR;
	r = orphan_unlink(call->share, call->node, at.dir, name, &stat);
	changes_own(call->share, call->node, at.dir);
	return r;
}

int op_rmdir(struct call *call)
{
	auto_locate struct locate at = LOCATE_INIT;
	struct os_stat stat;
	struct node_key key;
	struct node *node;
	const char *name;
	int r = begin_remove(call, &name, &at, &stat);

	if (went_before(call, r, &stat))
		return removed_before(call, name);
	if (r != 0)
		return r;
	if (share_is_protected(call->share, &stat))
		return -EACCES;
	if (unlinkat(at.dir, name, AT_REMOVEDIR) < 0)
		return -errno;
	changes_own(call->share, call->node, at.dir);
	key = node_key_of(&stat);
	node = node_by_key(&call->share->nodes, &key);
	if (node && node->id >= NODE_FIRST)
		node_leave(&call->share->nodes, node, NODE_GONE);
	return 0;
}

/* One end of a rename. */
struct end {
	struct node *dir;
	const char *name;
	struct locate at;
	struct os_stat stat;
	bool exists;
};

/* Whether what is at `from` may get the name `to`. A directory that is or comes to be called
 * .devbox must not hold anything that the name hides, or it would be seen, or made, by the move. */
static int may_become(struct share *share, const struct end *from, const struct end *to)
{
	bool special = boundary_is_devbox(from->name) || boundary_is_devbox(to->name);

	if (share_is_protected(share, &from->stat))
		return -EACCES;
	if (S_ISDIR(from->stat.mode))
		return special && boundary_holds_vm(from->at.dir, from->name) ? -EACCES : 0;
	return boundary_is_devbox(to->name) ? -EACCES : 0;
}

static int begin_end(struct share *share, struct end *end, bool must_exist)
{
	int r = locate_dir(share, end->dir, &end->at);

	if (r == 0) {
		r = os_stat_at(end->at.dir, end->name, &end->stat);
		end->exists = r == 0;
		if (r == -ENOENT && !must_exist)
			r = 0;
	}
	return r;
}

static void moved(struct share *share, const struct end *from, const struct end *to)
{
	struct node_key key = node_key_of(&from->stat);
	struct node *node = node_by_key(&share->nodes, &key);

	struct os_stat stat;

	if (!node || node->id < NODE_FIRST || node->place != NODE_IN_TREE)
		return;
	if (!node_move(&share->nodes, node, to->dir, to->name))
		node_leave(&share->nodes, node, NODE_GONE);
	else if (os_stat_at(to->at.dir, to->name, &stat) == 0 && os_same_object(&stat, &from->stat))
		attr_note_seen(node, &stat);
}

/* The rename itself, with a replaced file kept for those who have it open. */
static int replace(struct share *share, const struct end *from, const struct end *to)
{
	bool same = to->exists && os_same_object(&from->stat, &to->stat);
	struct node *kept = NULL;
	struct node_key key;
	int r;

	if (to->exists && !same && !S_ISDIR(to->stat.mode))
		kept = orphan_prepare(share, to->dir, to->at.dir, to->name, &to->stat);
	r = os_rename(from->at.dir, from->name, to->at.dir, to->name, 0);
	if (r < 0) {
		orphan_abort(share, kept);
		return r;
	}
	if (same)
		return 0; /* two names of one file: nothing happened */
	orphan_commit(share, kept, &to->stat);
	if (to->exists && S_ISDIR(to->stat.mode)) {
		key = node_key_of(&to->stat);
		kept = node_by_key(&share->nodes, &key);
		if (kept && kept->id >= NODE_FIRST)
			node_leave(&share->nodes, kept, NODE_GONE);
	}
	moved(share, from, to);
	return 0;
}

/* Whether what the guest knows at `from` lies at `to` already. Notes it then. Of a file of several
 * names we may know it by another one. */
static bool moved_before(struct share *share, const struct end *from, const struct end *to)
{
	struct node *node = node_by_place(&share->nodes, from->dir, from->name);
	struct node_key key = node_key_of(&to->stat);

	if (!to->exists)
		return false;
	if (!node && !from->exists && to->stat.nlink > 1)
		node = node_by_key(&share->nodes, &key);
	if (!node || node->lookups == 0 || !node_key_equal(&node->key, &key))
		return false;
	moved(share, to, to);
	return true;
}

static int rename_ends(struct share *share, struct end *from, struct end *to, uint32_t flags,
		       bool again)
{
	bool exchange = flags == FUSE_RENAME_EXCHANGE;
	int r = may_remove(share, from->dir, from->name);

	if (r == 0)
		r = begin_end(share, from, exchange || !again);
	if (r == 0)
		r = may_make(share, to->dir, to->name, true);
	if (r == 0)
		r = begin_end(share, to, exchange);
	if (r == 0 && again && moved_before(share, from, to)) {
		if (exchange)
			moved(share, from, from);
		return 0;
	}
	if (r == 0 && !from->exists)
		r = -ENOENT;
	if (r == 0)
		r = may_become(share, from, to);
	if (r == 0 && exchange)
		r = may_become(share, to, from);
	if (r == 0 && to->exists && share_is_protected(share, &to->stat))
		r = -EACCES;
	if (r < 0)
		return r;
	if (flags == 0)
		return replace(share, from, to);
	r = os_rename(from->at.dir, from->name, to->at.dir, to->name, flags);
	if (r < 0)
		return r;
	moved(share, from, to);
	if (exchange)
		moved(share, to, from);
	return 0;
}

static int rename_to(struct call *call, uint64_t new_dir, uint32_t flags)
{
	struct end from = {.dir = call->node, .at = LOCATE_INIT};
	struct end to = {.dir = share_node(call->share, new_dir), .at = LOCATE_INIT};
	int r = call_take_name(call, &from.name);

	if (r == 0)
		r = call_take_name(call, &to.name);
	if (r < 0)
		return r;
	if (!to.dir)
		return -ESTALE;
	if (flags != 0 && flags != FUSE_RENAME_NOREPLACE && flags != FUSE_RENAME_EXCHANGE)
		return -EINVAL;
	r = rename_ends(call->share, &from, &to, flags, call->again);
	if (r == 0) {
		changes_own(call->share, from.dir, from.at.dir);
		changes_own(call->share, to.dir, to.at.dir);
	}
	locate_done(&from.at);
	locate_done(&to.at);
	return r;
}

int op_rename(struct call *call)
{
	struct fuse_rename_in in;
	int r = call_take(call, &in, sizeof(in));

	return r < 0 ? r : rename_to(call, in.newdir, 0);
}

int op_rename2(struct call *call)
{
	struct fuse_rename2_in in;
	int r = call_take(call, &in, sizeof(in));

	return r < 0 ? r : rename_to(call, in.newdir, in.flags);
}
