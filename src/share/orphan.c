#include "share/orphan.h"

#include "base/number.h"
#include "share/fd_cache.h"
#include "share/locate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void orphan_name(const struct share *share, const struct node *node, char *ret_name, size_t size)
{
	(void)snprintf(ret_name, size, "%" PRIu32 "-%016" PRIx64, share->config.number, node->id);
}

/* The node of a file about to lose this name, if what it is must be kept: the guest knows it, and
 * it has no other name that we know of. */
static struct node *to_keep(struct share *share, struct node *parent, const char *name,
			    const struct os_stat *stat)
{
	struct node_key key = node_key_of(stat);
	struct node *node = node_by_key(&share->nodes, &key);
	struct os_stat other;

	if (!node || node->lookups == 0 || node->place != NODE_IN_TREE)
		return NULL;
	if (node->parent == parent && strcmp(node->name, name) == 0)
		return node;
	return locate_stat(share, node, &other) == 0 && other.nlink > 1 ? NULL : node;
}

/* It lost its name and is not among the orphans. What it was is remembered, unless it still has
 * other names, which we do not know: then its place is wrong now, and with the answer ESTALE the
 * guest looks up the name that it has in mind. */
static void forget_place(struct share *share, struct node *node, const struct os_stat *stat)
{
	if (node->fd_pinned || stat->nlink < 2)
		node_leave(&share->nodes, node, NODE_GONE);
}

/* A descriptor in place of a name; only a regular file's can be had. */
static bool pin(struct share *share, struct node *node, int dir, const char *name)
{
	if (!S_ISREG(node->key.type) || share->pinned_count >= share->config.pinned_max)
		return false;
	return fd_cache_pin(share, node, dir, name) == 0;
}

int orphan_unlink(struct share *share, struct node *parent, int dir, const char *name,
		  const struct os_stat *stat)
{
	struct node *node = to_keep(share, parent, name, stat);
	char kept[48];

	if (!node)
		return unlinkat(dir, name, 0) < 0 ? -errno : 0;
	if (share->config.orphans >= 0) {
		orphan_name(share, node, kept, sizeof(kept));
		if (renameat(dir, name, share->config.orphans, kept) == 0) {
			node_leave(&share->nodes, node, NODE_ORPHAN);
			return 0;
		}
	}
	bool pinned = pin(share, node, dir, name);

	if (unlinkat(dir, name, 0) < 0) {
		int sys = errno;

		if (pinned)
			fd_cache_unpin(share, node);
		return -sys;
	}
	forget_place(share, node, stat);
	return 0;
}

struct node *orphan_prepare(struct share *share, struct node *parent, int dir, const char *name,
			    const struct os_stat *stat)
{
	struct node *node = to_keep(share, parent, name, stat);
	char kept[48];

	if (!node)
		return NULL;
	orphan_name(share, node, kept, sizeof(kept));
	if (share->config.orphans < 0 || linkat(dir, name, share->config.orphans, kept, 0) < 0)
		(void)pin(share, node, dir, name);
	return node;
}

void orphan_commit(struct share *share, struct node *node, const struct os_stat *stat)
{
	struct os_stat now;
	char kept[48];

	if (!node)
		return;
	orphan_name(share, node, kept, sizeof(kept));
	if (!node->fd_pinned && share->config.orphans >= 0 &&
	    os_stat_at(share->config.orphans, kept, &now) == 0)
		node_leave(&share->nodes, node, NODE_ORPHAN);
	else
		forget_place(share, node, stat);
}

static void remove_kept(struct share *share, struct node *node)
{
	char kept[48];

	orphan_name(share, node, kept, sizeof(kept));
	if (share->config.orphans >= 0)
		(void)unlinkat(share->config.orphans, kept, 0);
}

void orphan_abort(struct share *share, struct node *node)
{
	if (!node)
		return;
	if (node->fd_pinned)
		fd_cache_unpin(share, node);
	else
		remove_kept(share, node);
}

void orphan_drop(struct share *share, struct node *node)
{
	if (node->place == NODE_ORPHAN)
		remove_kept(share, node);
	if (node->fd_pinned)
		fd_cache_unpin(share, node);
}

/* Whether this is the name of an orphan, of whatever share. */
static bool parse_name(const char *name, uint64_t *ret_number, uint64_t *ret_id)
{
	return number_take(&name, 10, UINT32_MAX, ret_number) && number_skip(&name, "-") &&
	       number_take(&name, 16, UINT64_MAX, ret_id) && !*name;
}

static bool sweep_one(void *context, const char *name, uint64_t ino, uint32_t type, uint64_t cookie)
{
	struct share *share = context;
	struct os_stat stat;
	struct node *node;
	uint64_t number;
	uint64_t id;

	(void)ino;
	(void)type;
	(void)cookie;
	if (!parse_name(name, &number, &id) || number != share->config.number)
		return true;
	node = node_by_id(&share->nodes, id);
	if (node && node->place == NODE_IN_TREE && locate_stat(share, node, &stat) < 0)
		node_leave(&share->nodes, node, NODE_ORPHAN);
	if (!node || node->place != NODE_ORPHAN)
		(void)unlinkat(share->config.orphans, name, 0);
	return true;
}

void orphan_sweep(struct share *share)
{
	auto_close int fd = -1;

	if (share->config.orphans < 0)
		return;
	fd = os_open(share->config.orphans, ".", false);
	if (fd >= 0)
		(void)os_read_dir(fd, 0, sweep_one, share);
}

struct strangers {
	int orphans;
	const bool *used;
	size_t count;
};

static bool sweep_stranger(void *context, const char *name, uint64_t ino, uint32_t type,
			   uint64_t cookie)
{
	const struct strangers *strangers = context;
	uint64_t number;
	uint64_t id;

	(void)ino;
	(void)type;
	(void)cookie;
	if (parse_name(name, &number, &id) &&
	    (number >= strangers->count || !strangers->used[number]))
		(void)unlinkat(strangers->orphans, name, 0);
	return true;
}

void share_sweep_orphans(int orphans, const bool *used, size_t count)
{
	struct strangers strangers = {.orphans = orphans, .used = used, .count = count};
	auto_close int fd = orphans < 0 ? -1 : os_open(orphans, ".", false);

	if (fd >= 0)
		(void)os_read_dir(fd, 0, sweep_stranger, &strangers);
}
