/*
 * One request at a time, from its bytes to its answer. The header is checked here: its length, its
 * opcode, and that the node it names is one the guest was given and still holds. Each handler
 * checks the rest of its own message. An opcode that is missing from the table is answered with
 * ENOSYS, which the kernel takes as "never ask again": that is how OPEN, OPENDIR, FLUSH and CREATE
 * are avoided altogether (no-open: there are no handles that a suspend would have to keep), how
 * locks stay local to the guest, and how extended attributes are declined.
 */
#include "share/share.h"

#include "base/mem.h"
#include "share/boundary.h"
#include "share/changes.h"
#include "share/fd_cache.h"
#include "share/internal.h"
#include "share/journal.h"
#include "share/orphan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STRING_MAX 4095

struct operation {
	int (*handle)(struct call *call);
	bool no_reply;
	bool no_node; /* the header's nodeid means nothing */
	bool once;    /* done again it would do more, or fail: the answer is kept */
};

static int op_nothing(struct call *call)
{
	(void)call;
	return 0;
}

static const struct operation operations[FUSE_OPCODE_COUNT] = {
    [FUSE_LOOKUP] = {.handle = op_lookup, .once = true},
    [FUSE_FORGET] = {.handle = op_forget, .no_reply = true, .no_node = true},
    [FUSE_GETATTR] = {.handle = op_getattr},
    [FUSE_SETATTR] = {.handle = op_setattr, .once = true},
    [FUSE_READLINK] = {.handle = op_readlink},
    [FUSE_SYMLINK] = {.handle = op_symlink, .once = true},
    [FUSE_MKNOD] = {.handle = op_mknod, .once = true},
    [FUSE_MKDIR] = {.handle = op_mkdir, .once = true},
    [FUSE_UNLINK] = {.handle = op_unlink, .once = true},
    [FUSE_RMDIR] = {.handle = op_rmdir, .once = true},
    [FUSE_RENAME] = {.handle = op_rename, .once = true},
    [FUSE_LINK] = {.handle = op_link, .once = true},
    [FUSE_READ] = {.handle = op_read},
    [FUSE_WRITE] = {.handle = op_write, .once = true},
    [FUSE_STATFS] = {.handle = op_statfs, .no_node = true},
    [FUSE_RELEASE] = {.handle = op_nothing, .no_node = true},
    [FUSE_FSYNC] = {.handle = op_fsync},
    [FUSE_INIT] = {.handle = op_init, .no_node = true},
    [FUSE_READDIR] = {.handle = op_readdir},
    [FUSE_RELEASEDIR] = {.handle = op_nothing, .no_node = true},
    [FUSE_FSYNCDIR] = {.handle = op_fsyncdir},
    [FUSE_INTERRUPT] = {.handle = op_nothing, .no_reply = true, .no_node = true},
    [FUSE_DESTROY] = {.handle = op_nothing, .no_node = true},
    [FUSE_BATCH_FORGET] = {.handle = op_batch_forget, .no_reply = true, .no_node = true},
    [FUSE_FALLOCATE] = {.handle = op_fallocate, .once = true},
    [FUSE_READDIRPLUS] = {.handle = op_readdirplus},
    [FUSE_RENAME2] = {.handle = op_rename2, .once = true},
    [FUSE_LSEEK] = {.handle = op_lseek},
    [FUSE_COPY_FILE_RANGE] = {.handle = op_copy_file_range, .once = true},
};

int call_take(struct call *call, void *ret, size_t size)
{
	if (call->length < size)
		return -EINVAL;
	memcpy(ret, call->body, size);
	call->body += size;
	call->length -= size;
	return 0;
}

int call_take_string(struct call *call, const char **ret_string)
{
	const char *string = (const char *)call->body;
	const char *end = memchr(string, '\0', call->length);

	if (!end)
		return -EINVAL;
	if (end - string > STRING_MAX)
		return -ENAMETOOLONG;
	call->body += end - string + 1;
	call->length -= (size_t)(end - string) + 1;
	*ret_string = string;
	return 0;
}

int call_take_name(struct call *call, const char **ret_name)
{
	const char *name;
	int r = call_take_string(call, &name);

	if (r == 0)
		r = boundary_check_name(name, strlen(name));
	if (r == 0)
		*ret_name = name;
	return r;
}

int call_put(struct call *call, const void *data, size_t size)
{
	return buf_append(call->reply, data, size) < 0 ? -EIO : 0;
}

struct node *share_node(struct share *share, uint64_t id)
{
	struct node *node = node_by_id(&share->nodes, id);

	/* A node may be there only as the parent of others; the guest has given it up then. */
	return node && (node->lookups > 0 || node->id < NODE_FIRST) ? node : NULL;
}

int share_writable(const struct share *share)
{
	return share->config.read_only ? -EROFS : 0;
}

const char *share_name_of(const struct share *share, const struct node *node)
{
	return node == share->root ? share->root_name : node->name ? node->name : "";
}

bool share_is_pinned(const struct share *share, const struct node *parent, const char *name)
{
	return share->devbox && parent == share->root && boundary_is_devbox(name);
}

bool share_is_hidden(const struct share *share, const struct os_stat *stat)
{
	struct node_key key = node_key_of(stat);

	return share->has_hidden && node_key_equal(&key, &share->hidden);
}

bool share_is_protected(const struct share *share, const struct os_stat *stat)
{
	struct node_key key = node_key_of(stat);

	for (size_t i = 0; i < share->protected_count; i++)
		if (node_key_equal(&key, &share->protected[i]))
			return true;
	return share_is_hidden(share, stat);
}

/* Notes the hidden directory and those above it, up to the root of the share or of the host. */
static int find_protected(struct share *share, struct err *err)
{
	auto_close int at = -1;
	struct os_stat stat;
	int dir = share->config.hidden;

	if (dir < 0)
		return 0;
	if (os_stat_at(dir, "", &stat) < 0)
		return err_sys(err, "look at the data directory");
	share->hidden = node_key_of(&stat);
	share->has_hidden = true;
	for (;;) {
		struct node_key last = node_key_of(&stat);
		struct node_key key;
		int up = os_open_dir_up(at >= 0 ? at : dir);

		if (at >= 0)
			(void)close(at);
		at = up;
		if (at < 0 || os_stat_at(at, "", &stat) < 0)
			return err_sys(err, "look above the data directory");
		key = node_key_of(&stat);
		if (node_key_equal(&key, &share->root->key))
			return 0;
		if (node_key_equal(&key, &last)) {
			share->protected_count = 0; /* it lies outside of this share */
			return 0;
		}
		if (share->protected_count == PROTECTED_MAX)
			return err_set(err, ERR_INVALID,
				       "the data directory lies more than %d "
				       "directories below the project",
				       PROTECTED_MAX);
		share->protected[share->protected_count++] = key;
	}
}

int share_protect_root(struct share *share, const struct share *other, struct err *err)
{
	if (share->protected_count == ARRAY_SIZE(share->protected))
		return err_set(err, ERR_INVALID, "too many shares");
	share->protected[share->protected_count++] = other->root->key;
	return 0;
}

static void on_free(void *context, struct node *node)
{
	struct share *share = context;

	orphan_drop(share, node);
	fd_cache_drop(share, node);
	changes_forget(share, node);
	if (node->many_names)
		share->many_names--;
	journal_gone(share, node);
}

static void on_change(void *context, struct node *node)
{
	journal_changed(context, node);
}

/* A new mount knows no nodes: what the last one knew is dropped. */
void share_forget_all(struct share *share)
{
	for (size_t i = 0; i < share->nodes.buckets; i++) {
		for (struct node *node = share->nodes.by_id[i]; node; node = node->next_by_id)
			node->lookups = 0;
	}
	node_table_sweep(&share->nodes);
	replies_clear(&share->replies);
	journal_start(share);
}

struct share *share_new(const struct share_config *config, struct err *err)
{
	struct share *share = xcalloc(1, sizeof(*share));
	struct os_stat stat;
	struct node_key devbox = {.type = S_IFDIR};
	struct node_key key;

	share->config = *config;
	share->config.root_name = NULL;
	share->root_name = xstrdup(config->root_name ? config->root_name : "");
	if (share->config.nodes_max == 0)
		share->config.nodes_max = SHARE_NODES_MAX;
	if (share->config.files_max == 0)
		share->config.files_max = SHARE_FILES_MAX;
	if (share->config.pinned_max == 0)
		share->config.pinned_max = SHARE_PINNED_MAX;
	if (share->config.watches_max == 0)
		share->config.watches_max = SHARE_WATCHES_MAX;
	list_init(&share->open);
	node_table_init(&share->nodes, share->config.nodes_max + 2);
	if (config->first_id > NODE_FIRST)
		share->nodes.next_id = config->first_id;
	list_init(&share->changed);
	buf_init(&share->journal, JOURNAL_MAX);
	changes_init(share, config->watch);
	share->nodes.on_free = on_free;
	share->nodes.on_change = on_change;
	share->nodes.context = share;
	if (os_stat_at(config->root, "", &stat) < 0 || !S_ISDIR(stat.mode)) {
		(void)err_set(err, ERR_INVALID, "the shared directory is not a directory");
		goto fail;
	}
	key = node_key_of(&stat);
	share->root = node_add(&share->nodes, NODE_ROOT, &key);
	share->root->place = NODE_IN_TREE;
	if (config->local_devbox) {
		share->devbox = node_add(&share->nodes, NODE_DEVBOX, &devbox);
		(void)node_move(&share->nodes, share->devbox, share->root, ".devbox");
	}
	if (find_protected(share, err) < 0)
		goto fail;
	return share;
fail:
	share_free(share);
	return NULL;
}

void share_free(struct share *share)
{
	if (!share)
		return;
	for (size_t i = 0; i < share->nodes.buckets; i++)
		for (struct node *node = share->nodes.by_id[i]; node; node = node->next_by_id)
			fd_cache_drop(share, node);
	node_table_done(&share->nodes);
	changes_done(share);
	replies_clear(&share->replies);
	buf_done(&share->journal);
	free(share->root_name);
	free(share);
}

int share_tick(struct share *share, uint64_t now_ms)
{
	int next;

	share->now_ms = now_ms;
	next = fd_cache_tick(share);
	/* Looking on has to wait while much is to be told. */
	if (changes_step(share) && buf_room(&share->notices) >= NOTICES_MAX / 2)
		return 0;
	return next;
}

static int run(struct call *call, const struct operation *operation)
{
	if (!operation->handle)
		return -ENOSYS;
	if (!operation->no_node) {
		call->node = share_node(call->share, call->in->nodeid);
		if (!call->node)
			return -ESTALE;
	}
	return operation->handle(call);
}

/* Whether the answer must be the same when the request is sent again. That a name is not there is
 * found anew: what was made meanwhile is no node, and nobody would tell the guest. */
static bool is_kept(const struct operation *operation, uint32_t opcode, const struct buf *answer)
{
	struct fuse_entry_out entry = {0};

	if (opcode != FUSE_LOOKUP)
		return operation->once;
	if (buf_length(answer) == sizeof(entry))
		memcpy(&entry, buf_data(answer), sizeof(entry));
	return entry.nodeid != 0;
}

int share_request(struct share *share, const void *request, size_t length, bool again,
		  struct buf *reply)
{
	static const struct operation none = {0};
	const struct operation *operation = &none;
	struct fuse_in_header in;
	struct fuse_out_header out = {0};
	struct call call = {.share = share, .in = &in, .again = again};
	auto_buf struct buf answer = {.max = 0};
	size_t extensions;
	int r;

	if (length < sizeof(in))
		return -1;
	memcpy(&in, request, sizeof(in));
	extensions = (size_t)in.total_extlen * 8;
	if (in.len != length || in.unique == 0 || extensions > length - sizeof(in))
		return -1;
	call.body = (const uint8_t *)request + sizeof(in);
	call.length = length - sizeof(in) - extensions;
	if (in.opcode < FUSE_OPCODE_COUNT)
		operation = &operations[in.opcode];
	share->along.nodeid = 0;
	share->empty.unique = 0;
	/* A live server never sees a number twice, so only a repeated one is worth a look. */
	if (again && operation->once && replies_find(&share->replies, in.unique, reply))
		return 0;
	buf_init(&answer, SHARE_REPLY_MAX);
	call.reply = &answer;
	r = run(&call, operation);
	if (r < 0)
		share->along.nodeid = 0;
	if (operation->no_reply)
		return 0;
	if (r < 0)
		buf_clear(&answer);
	out = (struct fuse_out_header){
	    .len = (uint32_t)(sizeof(out) + buf_length(&answer)),
	    .error = os_linux_errno(r),
	    .unique = in.unique,
	};
	if (buf_append(reply, &out, sizeof(out)) < 0 ||
	    buf_append(reply, buf_data(&answer), buf_length(&answer)) < 0)
		return -1;
	if (is_kept(operation, in.opcode, &answer)) {
		replies_add(&share->replies, &out, buf_data(&answer), buf_length(&answer));
		journal_reply(share, &out, buf_data(&answer), buf_length(&answer));
	}
	return 0;
}

void share_empty(const struct share *share, struct buf *ret_bytes)
{
	if (share->empty.unique)
		(void)buf_append(ret_bytes, &share->empty, sizeof(share->empty));
}

void share_along(const struct share *share, struct buf *ret_bytes)
{
	if (share->along.nodeid)
		(void)buf_append(ret_bytes, &share->along, sizeof(share->along));
}
