#include "share/fd_cache.h"

#include "share/locate.h"

#include <errno.h>
#include <unistd.h>

void fd_cache_drop(struct share *share, struct node *node)
{
	if (node->fd < 0)
		return;
	(void)close(node->fd);
	node->fd = -1;
	if (node->fd_writable) {
		node->fd_closed = true;
		node->fd_used_ms = share->now_ms;
	}
	node->fd_writable = false;
	if (node->fd_pinned) {
		node->fd_pinned = false;
		share->pinned_count--;
	} else {
		share->open_count--;
	}
	list_remove(&node->open);
}

static void keep(struct share *share, struct node *node, int fd, bool write)
{
	fd_cache_drop(share, node);
	node->fd = fd;
	node->fd_writable = write;
	share->open_count++;
}

static void touch(struct share *share, struct node *node)
{
	node->fd_used_ms = share->now_ms;
	if (node->fd_pinned)
		return;
	list_remove(&node->open);
	list_append(&share->open, &node->open);
}

static void make_room(struct share *share)
{
	while (share->open_count >= share->config.files_max)
		fd_cache_drop(share, list_entry(share->open.next, struct node, open));
}

/* The guest's kernel has checked the mode when the file was opened there; it may have changed since
 * (a file made read-only while it is being written: `install -m 444`, git's objects). Its owner may
 * open it all the same, as on a local file system, where an open descriptor keeps its rights. */
static int open_against_mode(const struct locate *at, const struct os_stat *stat, bool write)
{
	mode_t mode = stat->mode & 07777;
	int fd;

	if (stat->uid != geteuid() || !S_ISREG(stat->mode))
		return -EACCES;
	if (os_chmod(at->dir, at->name, stat, mode | (write ? 0600 : 0400)) < 0)
		return -EACCES;
	fd = os_open(at->dir, at->name, write);
	(void)os_chmod(at->dir, at->name, stat, mode);
	return fd;
}

static int open_node(struct share *share, struct node *node, bool write)
{
	auto_locate struct locate at = LOCATE_INIT;
	struct os_stat before;
	struct os_stat after;
	int r = locate_object(share, node, &at, &before);
	int fd;

	if (r < 0)
		return r;
	if (!S_ISREG(before.mode))
		return S_ISDIR(before.mode) ? -EISDIR : -EINVAL;
	fd = os_open(at.dir, at.name, write);
	if ((fd == -EMFILE || fd == -ENFILE) && !list_empty(&share->open)) {
		fd_cache_drop(share, list_entry(share->open.next, struct node, open));
		fd = os_open(at.dir, at.name, write);
	}
	if (fd == -EACCES && !share->config.read_only)
		fd = open_against_mode(&at, &before, write);
	if (fd < 0)
		return fd == -ELOOP ? -ESTALE : fd;
	/* Another object may have taken the name since it was looked at. */
	if (os_stat_at(fd, "", &after) < 0 || !os_same_object(&before, &after)) {
		(void)close(fd);
		return -ESTALE;
	}
	return fd;
}

int fd_cache_get(struct share *share, struct node *node, bool write)
{
	int fd;

	if (!S_ISREG(node->key.type))
		return S_ISDIR(node->key.type) ? -EISDIR : -EINVAL;
	if (node->fd < 0 || (write && !node->fd_writable)) {
		if (node->fd_pinned)
			return -EBADF;
		make_room(share);
		fd = open_node(share, node, write);
		if (fd < 0)
			return fd;
		keep(share, node, fd, write);
	}
	touch(share, node);
	return node->fd;
}

int fd_cache_pin(struct share *share, struct node *node, int dir, const char *name)
{
	struct os_stat stat;
	struct node_key key;
	bool write = true;
	int fd = os_open(dir, name, true);

	if (fd == -EACCES || fd == -EROFS) {
		write = false;
		fd = os_open(dir, name, false);
	}
	if (fd < 0)
		return fd;
	if (os_stat_at(fd, "", &stat) < 0) {
		(void)close(fd);
		return -ESTALE;
	}
	key = node_key_of(&stat);
	if (!node_key_equal(&key, &node->key)) {
		(void)close(fd);
		return -ESTALE;
	}
	keep(share, node, fd, write);
	share->open_count--;
	share->pinned_count++;
	node->fd_pinned = true;
	return 0;
}

void fd_cache_unpin(struct share *share, struct node *node)
{
	fd_cache_drop(share, node);
}

int fd_cache_tick(struct share *share)
{
	int next = -1;

	list_each(link, tmp, &share->open) {
		struct node *node = list_entry(link, struct node, open);
		uint64_t idle = share->now_ms - node->fd_used_ms;

		if (!node->fd_writable)
			continue;
		if (idle >= FILES_IDLE_MS)
			fd_cache_drop(share, node);
		else if (next < 0 || (int)(FILES_IDLE_MS - idle) < next)
			next = (int)(FILES_IDLE_MS - idle);
	}
	return next;
}
