/*
 * An event says only that something happened to a name. What it means is found by looking: the
 * object that has the name now, the node it is, and whether the guest has been told exactly that
 * (node_seen). So the events that the guest itself caused, nearly all of them, are silent, and so
 * is every change that was undone. That is sound although a change of the host's can hide behind
 * one of the guest's own: the guest's kernel drops its attributes with each change it makes, asks
 * again, and drops cached content when the times differ. And what was written within the same tick of
 * the file system's clock as what the guest was told may have the same times and size: then writing is
 * news by itself (young), unless the guest was told of nothing but its own writing.
 *
 * When events were lost, or in a new life of the server, each node is compared in the same way:
 * first all directories are watched again, then all nodes are looked at, some at a time between
 * requests. Names of which the guest believes that nothing has them are no nodes: it drops them all
 * (share_take_lost; with a new server it does so by itself). The same is done when a directory is
 * found in another place and news from below it came before that: where it was, nothing of it was to
 * be seen.
 */
#include "share/changes.h"

#include "base/mem.h"
#include "share/journal.h"
#include "share/locate.h"
#include "share/watch.h"

#include <stdlib.h>
#include <string.h>

#define WATCH_BUCKETS 16384u /* power of two */
#define STEP_NODES    256
#define CLOSE_NEWS_MS 1000u /* longer the news of what we closed is not on its way */
#define NOTICE_INODE  (sizeof(struct fuse_out_header) + sizeof(struct fuse_notify_inval_inode_out))

void changes_init(struct share *share, bool watch)
{
	share->watch = watch ? watch_open() : -1;
	share->by_watch = xcalloc(WATCH_BUCKETS, sizeof(struct node *));
	buf_init(&share->notices, NOTICES_MAX);
}

void changes_done(struct share *share)
{
	cleanup_close(&share->watch);
	free(share->by_watch);
	buf_done(&share->notices);
}

static struct node **watch_slot(const struct share *share, int id)
{
	return &share->by_watch[(unsigned)id & (WATCH_BUCKETS - 1)];
}

static struct node *by_watch(const struct share *share, int id)
{
	struct node *node = *watch_slot(share, id);

	while (node && node->watch != id)
		node = node->next_by_watch;
	return node;
}

static void unwatch(struct share *share, struct node *node)
{
	struct node **link = watch_slot(share, node->watch);

	while (*link != node)
		link = &(*link)->next_by_watch;
	*link = node->next_by_watch;
	node->watch = -1;
	share->watches--;
}

void changes_watch(struct share *share, struct node *node, int dir)
{
	struct node **link;
	int id;

	if (share->watch < 0 || node->watch >= 0 || share->watches >= share->config.watches_max)
		return;
	id = watch_add(share->watch, dir);
	if (id < 0 || by_watch(share, id))
		return;
	node->watch = id;
	link = watch_slot(share, id);
	node->next_by_watch = *link;
	*link = node;
	share->watches++;
}

void changes_forget(struct share *share, struct node *node)
{
	if (node->watch < 0)
		return;
	watch_remove(share->watch, node->watch);
	unwatch(share, node);
}

uint32_t changes_entry_timeout(const struct share *share, const struct node *parent)
{
	return parent->watch >= 0 && !share->suspecting ? CHANGES_LONG_S : CHANGES_SHORT_S;
}

uint32_t changes_attr_timeout(const struct share *share, const struct node *node,
			      const struct os_stat *stat)
{
	const struct node *parent = node == share->root ? node : node->parent;

	/* A directory's own times change with what is in it; a file's content can change through
	 * another of its names. */
	if (!parent || parent->watch < 0 || share->suspecting)
		return CHANGES_SHORT_S;
	if (S_ISDIR(stat->mode) ? node->watch < 0 : stat->nlink > 1)
		return CHANGES_SHORT_S;
	return CHANGES_LONG_S;
}

void changes_own(struct share *share, struct node *node, int fd)
{
	struct os_stat stat;
	uint32_t timeout;

	if (os_stat_at(fd, "", &stat) < 0)
		return;
	attr_note_seen(node, &stat);
	node->seen.young = false;
	timeout = changes_attr_timeout(share, node, &stat);
	if (!S_ISDIR(stat.mode) || timeout != CHANGES_LONG_S)
		return; /* what is believed for a second must be asked for then */
	share->along.nodeid = node->id;
	share->along.out = (struct fuse_attr_out){.attr_valid = timeout};
	attr_fill(share, node, &stat, &share->along.out.attr);
}

static void lose(struct share *share)
{
	if (!share->lost)
		journal_notice(share, NULL, 0);
	share->lost = true;
	changes_suspect_all(share);
}

static void put(struct share *share, int32_t code, const void *fixed, size_t fixed_length,
		const char *name, size_t name_length)
{
	struct fuse_out_header out = {
	    .len = (uint32_t)(sizeof(out) + fixed_length + name_length),
	    .error = code,
	};

	if (buf_room(&share->notices) < out.len) {
		lose(share);
		return;
	}
	(void)buf_append(&share->notices, &out, sizeof(out));
	(void)buf_append(&share->notices, fixed, fixed_length);
	(void)buf_append(&share->notices, name, name_length);
	journal_notice(share, buf_data(&share->notices) + buf_length(&share->notices) - out.len,
		       out.len);
}

/* Attributes, and content where that may be another one too. */
static void tell_inode(struct share *share, const struct node *node, bool content)
{
	struct fuse_notify_inval_inode_out out = {.ino = node->id, .off = content ? 0 : -1};

	put(share, FUSE_NOTIFY_INVAL_INODE, &out, sizeof(out), NULL, 0);
}

void changes_tell(struct share *share, const struct node *node)
{
	tell_inode(share, node, true);
}

static void tell_entry(struct share *share, const struct node *parent, const char *name)
{
	struct fuse_notify_inval_entry_out out = {
	    .parent = parent->id,
	    .namelen = (uint32_t)strlen(name),
	};

	/* The mount over the pinned directory would fall with its name. */
	if (!share_is_pinned(share, parent, name))
		put(share, FUSE_NOTIFY_INVAL_ENTRY, &out, sizeof(out), name, strlen(name) + 1);
}

static void look_at(struct share *share, struct node *node, const struct os_stat *stat,
		    bool written)
{
	bool content = (written && node->seen.young) || node->seen.size != stat->size ||
		       !attr_same_time(&node->seen.mtime, &stat->mtime);

	if (!content && node->seen.mode == (stat->mode & 07777) &&
	    attr_same_time(&node->seen.ctime, &stat->ctime))
		return;
	/* Else what is looked at anew would be no news. */
	if (buf_room(&share->notices) < NOTICE_INODE) {
		lose(share);
		return;
	}
	attr_note_seen(node, stat);
	tell_inode(share, node, content);
}

void changes_before_own(struct share *share, struct node *node, int fd)
{
	struct os_stat stat;

	if (os_stat_at(fd, "", &stat) == 0 &&
	    (node->seen.size != stat.size || !attr_same_time(&node->seen.mtime, &stat.mtime)))
		look_at(share, node, &stat, false);
}

static bool has_one_name(const struct os_stat *stat)
{
	return S_ISDIR(stat->mode) || stat->nlink < 2;
}

void changes_note_names(struct share *share, struct node *node, const struct os_stat *stat)
{
	if (node->many_names || has_one_name(stat))
		return;
	node->many_names = true;
	share->many_names++;
}

static void tell_old_place(struct share *share, const struct node *node, const struct os_stat *stat,
			   const struct node *parent, const char *name)
{
	if (node->place == NODE_IN_TREE && node->parent && has_one_name(stat) &&
	    (node->parent != parent || strcmp(node->name, name) != 0))
		tell_entry(share, node->parent, node->name);
}

/* A directory from which news came while it was not in its place has not been seen as it is. */
static bool move(struct share *share, struct node *node, struct node *parent, const char *name)
{
	if (node->missed) {
		node->missed = false;
		changes_suspect_all(share);
	}
	return node_move(&share->nodes, node, parent, name);
}

bool changes_found(struct share *share, struct node *node, const struct os_stat *stat,
		   struct node *parent, const char *name)
{
	/* A directory has one name in the guest's kernel, which moves it when it reads the answer,
	 * and fails (ESTALE) when a notification holds the lock of the old parent just then. */
	if (!S_ISDIR(stat->mode))
		tell_old_place(share, node, stat, parent, name);
	return move(share, node, parent, name);
}

/* What the host moved to a place that is watched is used there from now on: programs of the guest
 * that are in such a directory, or have a file below it open, do not notice. A file of several names
 * stays where it was seen last: there it may well be. */
static void follow(struct share *share, struct node *node, const struct os_stat *stat,
		   struct node *dir, const char *name)
{
	if (node->id >= NODE_FIRST && node->place == NODE_IN_TREE && has_one_name(stat) &&
	    !share_is_pinned(share, dir, name)) {
		tell_old_place(share, node, stat, dir, name);
		(void)move(share, node, dir, name);
	}
}

static void name_event(struct share *share, struct node *dir, int dir_fd, const char *name)
{
	const struct node *known = node_by_place(&share->nodes, dir, name);
	struct os_stat stat;
	bool exists = os_stat_at(dir_fd, name, &stat) == 0;
	struct node_key key = exists ? node_key_of(&stat) : (struct node_key){0};
	struct node *node = exists ? node_by_key(&share->nodes, &key) : NULL;

	/* The guest knows exactly this object by this name, or, where none is, no name; that a file
	 * has other names makes it uncertain what it knows. */
	if (exists ? !node || node != known : known || share->many_names > 0)
		tell_entry(share, dir, name);
	if (node) {
		follow(share, node, &stat, dir, name);
		look_at(share, node, &stat, false);
	}
	/* What a directory's names are is its content. */
	if (os_stat_at(dir_fd, "", &stat) == 0)
		look_at(share, dir, &stat, true);
}

static void content_event(struct share *share, int dir_fd, const char *name, enum watch_kind kind)
{
	struct os_stat stat;
	struct node_key key;
	struct node *node;

	if (os_stat_at(dir_fd, *name ? name : "", &stat) < 0)
		return;
	key = node_key_of(&stat);
	node = node_by_key(&share->nodes, &key);
	if (!node)
		return;
	look_at(share, node, &stat, kind == WATCH_WRITTEN);
	if (kind != WATCH_CLOSED)
		return;
	/* What was written through a mapping may have left the times that the guest was told. */
	if (!node->fd_closed || share->now_ms - node->fd_used_ms > CLOSE_NEWS_MS)
		tell_inode(share, node, true);
	node->fd_closed = false;
}

/* Notes it of all that are not in their places; for a tree that is being removed, once. */
static void miss(struct share *share, struct node *dir)
{
	while (dir && !dir->missed) {
		auto_locate struct locate at = LOCATE_INIT;

		if (locate_dir(share, dir, &at) == 0)
			break;
		dir->missed = true;
		dir = dir->parent;
	}
}

static void take_event(void *context, const struct watch_event *event)
{
	struct share *share = context;
	auto_locate struct locate at = LOCATE_INIT;
	struct node *dir;

	if (event->kind == WATCH_OVERFLOW) {
		lose(share);
		return;
	}
	dir = by_watch(share, event->id);
	if (!dir)
		return;
	if (event->kind == WATCH_GONE) {
		unwatch(share, dir);
		return;
	}
	if (event->kind == WATCH_UNMOUNTED) {
		tell_inode(share, dir, true);
		if (dir->parent)
			tell_entry(share, dir->parent, dir->name);
		return;
	}
	/* A directory that is not where it was: whoever moved it caused an event there. */
	if (locate_dir(share, dir, &at) < 0) {
		miss(share, dir);
		return;
	}
	if (event->kind == WATCH_NAME)
		name_event(share, dir, at.dir, event->name);
	else
		content_event(share, at.dir, event->name, event->kind);
}

void share_watch_read(struct share *share)
{
	if (share->watch >= 0)
		watch_read(share->watch, take_event, share);
}

int share_watch_fd(const struct share *share)
{
	return share->watch;
}

struct buf *share_notices(struct share *share)
{
	return &share->notices;
}

bool share_take_lost(struct share *share)
{
	bool lost = share->lost;

	share->lost = false;
	return lost;
}

bool share_has_news(const struct share *share)
{
	return share->lost || buf_length(&share->notices) > 0;
}

void share_was_told(struct share *share)
{
	share->lost = false;
	buf_clear(&share->notices);
}

void changes_suspect_all(struct share *share)
{
	share->suspecting = SUSPECT_WATCHING;
	share->suspect_slot = 0;
}

/* Watches a directory again, before anything in it is compared. */
static void watch_again(struct share *share, struct node *node)
{
	auto_locate struct locate at = LOCATE_INIT;

	if (S_ISDIR(node->key.type) && node->watch < 0 && node != share->devbox &&
	    locate_dir(share, node, &at) == 0)
		changes_watch(share, node, at.dir);
}

static void compare(struct share *share, struct node *node)
{
	struct os_stat stat;

	if (node == share->devbox || node->place == NODE_GONE)
		return;
	if (locate_stat(share, node, &stat) == 0) {
		node->missed = false;
		changes_note_names(share, node, &stat); /* no journal tells of them */
		look_at(share, node, &stat, false);
		return;
	}
	/* Whatever has its name now, it is not this. */
	tell_inode(share, node, true);
	if (node->parent)
		tell_entry(share, node->parent, node->name);
}

bool changes_step(struct share *share)
{
	struct node_table *table = &share->nodes;
	size_t done = 0;

	if (share->suspecting == SUSPECT_NOTHING)
		return false;
	for (; share->suspect_slot < table->buckets && done < STEP_NODES; share->suspect_slot++) {
		struct node *next;

		/* One row needs room for all it may say. */
		if (buf_room(&share->notices) < NOTICES_MAX / 2)
			return true;
		for (struct node *node = table->by_id[share->suspect_slot]; node; node = next) {
			next = node->next_by_id;
			done++;
			if (share->suspecting == SUSPECT_WATCHING)
				watch_again(share, node);
			else
				compare(share, node);
		}
	}
	if (share->suspect_slot < table->buckets)
		return true;
	share->suspect_slot = 0;
	share->suspecting =
	    share->suspecting == SUSPECT_WATCHING ? SUSPECT_COMPARING : SUSPECT_NOTHING;
	return share->suspecting != SUSPECT_NOTHING;
}
