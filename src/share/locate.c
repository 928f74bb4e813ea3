#include "share/locate.h"

#include "share/boundary.h"
#include "share/orphan.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* openat2 takes PATH_MAX with the NUL; a longer way is walked in pieces, which may get one more name. */
#define PIECE_MAX (4096 - NODE_NAME_MAX - 2)

void locate_done(struct locate *at)
{
	if (at->owned && at->dir >= 0)
		(void)close(at->dir);
	at->dir = -1;
	at->owned = false;
}

/* The nodes from the node up to below the root, deepest first. */
static int chain(const struct share *share, const struct node *node, const struct node **ret_nodes,
		 size_t *ret_count)
{
	size_t count = 0;

	for (; node != share->root; node = node->parent) {
		if (!node || node->place != NODE_IN_TREE)
			return -ESTALE;
		if (count == NODE_DEPTH_MAX)
			return -ENAMETOOLONG;
		if (boundary_hides(share_name_of(share, node->parent), node->name))
			return -EACCES;
		ret_nodes[count++] = node;
	}
	*ret_count = count;
	return 0;
}

static int step(struct locate *at, const char *path)
{
	int fd = os_open_dir_beneath(at->dir, path);

	if (fd < 0)
		return fd;
	locate_done(at);
	at->dir = fd;
	at->owned = true;
	return 0;
}

static int walk(struct share *share, const struct node *dir, struct locate *ret_at)
{
	const struct node *nodes[NODE_DEPTH_MAX];
	char path[PIECE_MAX + NODE_NAME_MAX + 2];
	size_t used = 0;
	size_t count;
	int r = chain(share, dir, nodes, &count);

	*ret_at = (struct locate){.dir = share->config.root};
	while (r == 0 && count > 0) {
		const char *name = nodes[--count]->name;
		size_t length = strlen(name);

		if (used)
			path[used++] = '/';
		memcpy(path + used, name, length + 1);
		used += length;
		if (used >= PIECE_MAX || count == 0) {
			r = step(ret_at, path);
			used = 0;
		}
	}
	if (r < 0)
		locate_done(ret_at);
	/* A component that is a link or no directory by now is a place that is gone. */
	return r == -ELOOP || r == -ENOTDIR || r == -ENOENT || r == -EXDEV ? -ESTALE : r;
}

int locate_node(struct share *share, struct node *node, struct locate *ret_at)
{
	int r;

	if (node == share->root) {
		*ret_at = (struct locate){.dir = share->config.root, .name = "."};
		return 0;
	}
	if (node->place == NODE_ORPHAN) {
		*ret_at = (struct locate){.dir = share->config.orphans};
		orphan_name(share, node, ret_at->own_name, sizeof(ret_at->own_name));
		ret_at->name = ret_at->own_name;
		return 0;
	}
	if (node->place == NODE_GONE)
		return -ENOENT;
	if (boundary_hides(share_name_of(share, node->parent), node->name))
		return -EACCES;
	r = walk(share, node->parent, ret_at);
	ret_at->name = node->name;
	return r;
}

static bool is_node(const struct node *node, const struct os_stat *stat)
{
	struct node_key key = node_key_of(stat);

	return node_key_equal(&node->key, &key);
}

int locate_dir(struct share *share, struct node *node, struct locate *ret_at)
{
	struct os_stat stat;
	int r;

	if (!S_ISDIR(node->key.type))
		return -ENOTDIR;
	if (node->place == NODE_GONE)
		return -ENOENT;
	r = walk(share, node, ret_at);
	if (r < 0 || node == share->root)
		return r;
	r = os_stat_at(ret_at->dir, "", &stat);
	if (r == 0 && (!is_node(node, &stat) || share_is_hidden(share, &stat)))
		r = -ESTALE;
	if (r < 0)
		locate_done(ret_at);
	return r;
}

int locate_object(struct share *share, struct node *node, struct locate *ret_at,
		  struct os_stat *ret_stat)
{
	int r = locate_node(share, node, ret_at);

	if (r < 0)
		return r;
	r = os_stat_at(ret_at->dir, ret_at->name, ret_stat);
	if (r == -ENOENT || (r == 0 && !is_node(node, ret_stat)))
		r = -ESTALE;
	if (r < 0)
		locate_done(ret_at);
	return r;
}

int locate_stat(struct share *share, struct node *node, struct os_stat *ret_stat)
{
	auto_locate struct locate at = LOCATE_INIT;
	int r = locate_object(share, node, &at, ret_stat);

	if (r < 0 && node->fd >= 0)
		r = os_stat_at(node->fd, "", ret_stat);
	else if (r == 0 && node->place == NODE_ORPHAN && ret_stat->nlink > 0)
		ret_stat->nlink--;
	return r;
}
