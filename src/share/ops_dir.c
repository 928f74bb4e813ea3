/*
 * Listing directories. There is no handle and no snapshot: a position is the host file system's own
 * cookie, which stays good across requests, restarts and suspends. The answer is filled until the
 * next entry would pass the size that the guest asked for.
 */
#include "share/boundary.h"
#include "share/changes.h"
#include "share/locate.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

struct listing {
	struct call *call;
	int dir;
	size_t room;
	bool plus;
	int error;
};

static bool is_dot(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

static size_t aligned(size_t size)
{
	return (size + 7) & ~(size_t)7;
}

static bool shown(const struct listing *list, const char *name, uint64_t ino)
{
	const struct share *share = list->call->share;
	const struct node *node = list->call->node;

	if (boundary_hides(share_name_of(share, node), name))
		return false;
	/* The hidden directory's number may also belong to a file of another device. */
	if (share->has_hidden && ino == share->hidden.ino) {
		struct os_stat stat;

		return os_stat_at(list->dir, name, &stat) == 0 && !share_is_hidden(share, &stat);
	}
	return true;
}

static void put(struct listing *list, const struct fuse_entry_out *entry,
		const struct fuse_dirent *dirent, const char *name)
{
	static const uint8_t padding[8];
	struct buf *reply = list->call->reply;
	size_t size = (list->plus ? sizeof(*entry) : 0) + sizeof(*dirent) + dirent->namelen;
	int r = 0;

	if (list->plus)
		r |= buf_append(reply, entry, sizeof(*entry));
	r |= buf_append(reply, dirent, sizeof(*dirent));
	r |= buf_append(reply, name, dirent->namelen);
	r |= buf_append(reply, padding, aligned(size) - size);
	if (r < 0)
		list->error = -EIO;
	list->room -= aligned(size);
}

static bool visit(void *context, const char *name, uint64_t ino, uint32_t type, uint64_t cookie)
{
	struct listing *list = context;
	struct share *share = list->call->share;
	struct node *node = list->call->node;
	struct fuse_entry_out entry = {0};
	struct fuse_dirent dirent = {
	    .ino = attr_ino(share, node->key.dev, ino), .off = cookie, .type = type};
	size_t length = strlen(name);
	size_t size = aligned((list->plus ? sizeof(entry) : 0) + sizeof(dirent) + length);

	if (length == 0 || length > NODE_NAME_MAX || !shown(list, name, ino))
		return true;
	if (size > list->room)
		return false;
	dirent.namelen = (uint32_t)length;
	if (is_dot(name)) {
		dirent.ino = attr_ino(share, node->key.dev, node->key.ino);
	} else if (node == share->root && share->devbox && strcmp(name, ".devbox") == 0) {
		dirent.ino = NODE_DEVBOX;
		dirent.type = DT_DIR;
	} else if (list->plus && !list->call->again) {
		/* Not twice: the answer that was lost has counted the lookups. What cannot be
		 * looked at is still listed; a LOOKUP will say why. */
		if (entry_find(share, node, list->dir, name, &entry) < 0)
			entry = (struct fuse_entry_out){0};
		else
			dirent.ino = entry.attr.ino;
	}
	put(list, &entry, &dirent, name);
	return true;
}

/* The pinned .devbox is empty: the guest mounts its own directory over it. */
static int list_pinned(struct listing *list, uint64_t offset)
{
	static const char *const names[] = {".", ".."};

	for (uint64_t i = offset; i < ARRAY_SIZE(names); i++)
		if (!visit(list, names[i], NODE_DEVBOX, DT_DIR, i + 1))
			break;
	return 0;
}

static int list_dir(struct call *call, bool plus)
{
	struct share *share = call->share;
	auto_locate struct locate at = LOCATE_INIT;
	auto_close int fd = -1;
	struct fuse_read_in in;
	struct listing list = {.call = call, .plus = plus};
	int r = call_take(call, &in, sizeof(in));

	if (r < 0)
		return r;
	if (in.size > SHARE_READ_MAX)
		return -EINVAL;
	list.room = in.size;
	if (call->node == share->devbox)
		return list_pinned(&list, in.offset);
	if (S_ISDIR(call->node->key.type) && call->node->place == NODE_GONE)
		return 0; /* removed while somebody is in it: nothing is left to list */
	r = locate_dir(share, call->node, &at);
	if (r < 0)
		return r;
	list.dir = at.dir;
	changes_watch(share, call->node, at.dir);
	fd = os_open(at.dir, ".", false);
	if (fd < 0)
		return fd;
	r = os_read_dir(fd, in.offset, visit, &list);
	/* An error after some entries is met again at the next request. */
	if (r < 0 && buf_length(call->reply) == 0)
		return r;
	return list.error;
}

int op_readdir(struct call *call)
{
	return list_dir(call, false);
}

int op_readdirplus(struct call *call)
{
	return list_dir(call, true);
}

int op_fsyncdir(struct call *call)
{
	auto_locate struct locate at = LOCATE_INIT;
	auto_close int fd = -1;
	struct fuse_fsync_in in;
	int r = call_take(call, &in, sizeof(in));

	if (r < 0)
		return r;
	if (call->node == call->share->devbox)
		return 0;
	r = locate_dir(call->share, call->node, &at);
	if (r < 0)
		return r;
	fd = os_open(at.dir, ".", false);
	if (fd < 0)
		return fd;
	return fsync(fd) < 0 ? -errno : 0;
}
