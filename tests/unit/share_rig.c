#include "unit/share_rig.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void start(struct share_rig *rig)
{
	struct err err = ERR_INIT;

	rig->share = share_new(&rig->config, &err);
	if (!rig->share) {
		(void)fprintf(stderr, "%s\n", err.text);
		abort();
	}
}

void share_rig_init(struct share_rig *rig)
{
	static const char *const dirs[] = {"project", "project/.devbox", "project/.devbox/vm",
					   "project/.devbox/vm/orphans", "outside"};

	*rig = (struct share_rig){.dir = temp_dir_make(), .unique = 2};
	buf_init(&rig->request, SHARE_REQUEST_MAX);
	buf_init(&rig->reply, (size_t)2 * SHARE_REQUEST_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		must(mkdirat(rig->dir.fd, dirs[i], 0755) == 0);
	temp_dir_put_text(&rig->dir, "outside/secret", "secret");
	rig->config = (struct share_config){
	    .root = openat(rig->dir.fd, "project", O_RDONLY | O_DIRECTORY),
	    .root_name = "project",
	    .local_devbox = true,
	    .orphans = openat(rig->dir.fd, "project/.devbox/vm/orphans", O_RDONLY | O_DIRECTORY),
	    .hidden = openat(rig->dir.fd, "project/.devbox/vm", O_RDONLY | O_DIRECTORY),
	    .host_uid = geteuid(),
	    .host_gid = getegid(),
	    .guest_uid = 1000,
	    .guest_gid = 1001,
	};
	(void)umask(0);
	start(rig);
}

void share_rig_done(struct share_rig *rig)
{
	share_free(rig->share);
	(void)close(rig->config.root);
	(void)close(rig->config.orphans);
	(void)close(rig->config.hidden);
	buf_done(&rig->request);
	buf_done(&rig->reply);
	temp_dir_done(&rig->dir);
}

void share_rig_restart(struct share_rig *rig)
{
	share_free(rig->share);
	start(rig);
}

void share_rig_restart_without_orphans(struct share_rig *rig)
{
	(void)close(rig->config.orphans);
	rig->config.orphans = -1;
	share_rig_restart(rig);
}

void share_rig_begin(struct share_rig *rig, uint32_t opcode, uint64_t node)
{
	struct fuse_in_header in = {.opcode = opcode, .nodeid = node, .unique = rig->unique};

	rig->unique += 2;
	buf_clear(&rig->request);
	must(buf_append(&rig->request, &in, sizeof(in)) == 0);
}

void share_rig_add(struct share_rig *rig, const void *data, size_t length)
{
	must(buf_append(&rig->request, data, length) == 0);
}

void share_rig_add_name(struct share_rig *rig, const char *name)
{
	share_rig_add(rig, name, strlen(name) + 1);
}

int share_rig_ask(struct share_rig *rig)
{
	size_t length = buf_length(&rig->request);
	/* Exactly as long as it says, so that a sanitizer sees every byte read beyond. */
	auto_free uint8_t *request = xmemdup(buf_data(&rig->request), length);
	struct fuse_in_header in;
	struct fuse_out_header out;

	memcpy(&in, request, sizeof(in));
	in.len = (uint32_t)length;
	memcpy(request, &in, sizeof(in));
	buf_clear(&rig->reply);
	must(share_request(rig->share, request, length, rig->again, &rig->reply) == 0);
	if (buf_length(&rig->reply) == 0)
		return 1;
	must(buf_length(&rig->reply) >= sizeof(out));
	memcpy(&out, buf_data(&rig->reply), sizeof(out));
	must(out.len == buf_length(&rig->reply) && out.unique == in.unique && out.error <= 0);
	must(out.error == 0 || out.len == sizeof(out));
	rig->answer = buf_data(&rig->reply) + sizeof(out);
	rig->answer_length = buf_length(&rig->reply) - sizeof(out);
	return out.error;
}

static int ask_entry(struct share_rig *rig, struct fuse_entry_out *ret_entry)
{
	int r = share_rig_ask(rig);

	if (r == 0) {
		must(rig->answer_length == sizeof(*ret_entry));
		memcpy(ret_entry, rig->answer, sizeof(*ret_entry));
	}
	return r;
}

int share_rig_lookup(struct share_rig *rig, uint64_t parent, const char *name,
		     struct fuse_entry_out *ret_entry)
{
	share_rig_begin(rig, FUSE_LOOKUP, parent);
	share_rig_add_name(rig, name);
	return ask_entry(rig, ret_entry);
}

uint64_t share_rig_node(struct share_rig *rig, const char *path)
{
	auto_free char *copy = xstrdup(path);
	uint64_t node = FUSE_ROOT_ID;
	char *save = NULL;

	for (char *name = strtok_r(copy, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
		struct fuse_entry_out entry;

		if (share_rig_lookup(rig, node, name, &entry) < 0 || entry.nodeid == 0)
			return 0;
		node = entry.nodeid;
	}
	return node;
}

int share_rig_getattr(struct share_rig *rig, uint64_t node, struct fuse_attr_out *ret_out)
{
	int r;

	share_rig_begin(rig, FUSE_GETATTR, node);
	share_rig_add(rig, &(uint64_t[2]){0}, 16);
	r = share_rig_ask(rig);
	if (r == 0)
		memcpy(ret_out, rig->answer, sizeof(*ret_out));
	return r;
}

int share_rig_make(struct share_rig *rig, uint64_t parent, const char *name, uint32_t mode,
		   uint64_t *ret_node)
{
	struct fuse_mkdir_in mkdir_in = {.mode = mode};
	struct fuse_mknod_in mknod_in = {.mode = mode};
	struct fuse_entry_out entry;
	int r;

	share_rig_begin(rig, S_ISDIR(mode) ? FUSE_MKDIR : FUSE_MKNOD, parent);
	if (S_ISDIR(mode))
		share_rig_add(rig, &mkdir_in, sizeof(mkdir_in));
	else
		share_rig_add(rig, &mknod_in, sizeof(mknod_in));
	share_rig_add_name(rig, name);
	r = ask_entry(rig, &entry);
	if (r == 0 && ret_node)
		*ret_node = entry.nodeid;
	return r;
}

int share_rig_symlink(struct share_rig *rig, uint64_t parent, const char *name, const char *target)
{
	struct fuse_entry_out entry;

	share_rig_begin(rig, FUSE_SYMLINK, parent);
	share_rig_add_name(rig, name);
	share_rig_add_name(rig, target);
	return ask_entry(rig, &entry);
}

int share_rig_rename(struct share_rig *rig, uint64_t from, const char *name, uint64_t to,
		     const char *new_name, uint32_t flags)
{
	struct fuse_rename2_in in = {.newdir = to, .flags = flags};

	share_rig_begin(rig, FUSE_RENAME2, from);
	share_rig_add(rig, &in, sizeof(in));
	share_rig_add_name(rig, name);
	share_rig_add_name(rig, new_name);
	return share_rig_ask(rig);
}

int share_rig_remove(struct share_rig *rig, uint32_t opcode, uint64_t parent, const char *name)
{
	share_rig_begin(rig, opcode, parent);
	share_rig_add_name(rig, name);
	return share_rig_ask(rig);
}

int share_rig_write(struct share_rig *rig, uint64_t node, uint64_t offset, const char *text)
{
	struct fuse_write_in in = {.offset = offset, .size = (uint32_t)strlen(text)};

	share_rig_begin(rig, FUSE_WRITE, node);
	share_rig_add(rig, &in, sizeof(in));
	share_rig_add(rig, text, strlen(text));
	return share_rig_ask(rig);
}

int share_rig_read(struct share_rig *rig, uint64_t node, uint64_t offset, char *ret_bytes)
{
	struct fuse_read_in in = {.offset = offset, .size = 256};
	int r;

	share_rig_begin(rig, FUSE_READ, node);
	share_rig_add(rig, &in, sizeof(in));
	r = share_rig_ask(rig);
	if (r < 0)
		return r;
	must(rig->answer_length <= 256);
	memcpy(ret_bytes, rig->answer, rig->answer_length);
	return (int)rig->answer_length;
}

void share_rig_forget(struct share_rig *rig, uint64_t node, uint64_t count)
{
	struct fuse_forget_in in = {.nlookup = count};

	share_rig_begin(rig, FUSE_FORGET, node);
	share_rig_add(rig, &in, sizeof(in));
	must(share_rig_ask(rig) == 1);
}

bool share_rig_lists(struct share_rig *rig, uint64_t node, const char *name, bool plus)
{
	struct fuse_read_in in = {.size = 1024};
	bool found = false;

	for (int round = 0; round < 1000; round++) {
		const uint8_t *at;
		size_t left;

		share_rig_begin(rig, plus ? FUSE_READDIRPLUS : FUSE_READDIR, node);
		share_rig_add(rig, &in, sizeof(in));
		must(share_rig_ask(rig) == 0 && rig->answer_length <= 1024);
		at = rig->answer;
		left = rig->answer_length;
		if (left == 0)
			return found;
		while (left > 0) {
			size_t skip = plus ? sizeof(struct fuse_entry_out) : 0;
			struct fuse_dirent dirent;
			size_t size;

			must(left >= skip + sizeof(dirent));
			memcpy(&dirent, at + skip, sizeof(dirent));
			size = (skip + sizeof(dirent) + dirent.namelen + 7) & ~(size_t)7;
			must(size <= left);
			found = found ||
				(strlen(name) == dirent.namelen &&
				 memcmp(at + skip + sizeof(dirent), name, dirent.namelen) == 0);
			in.offset = dirent.off;
			at += size;
			left -= size;
		}
	}
	abort();
}

void share_rig_host_mkdir(struct share_rig *rig, const char *path)
{
	must(mkdirat(rig->config.root, path, 0755) == 0);
}

void share_rig_host_put(struct share_rig *rig, const char *path, const char *text)
{
	struct temp_dir project = {.fd = rig->config.root};

	temp_dir_put_text(&project, path, text);
}

bool share_rig_host_has(struct share_rig *rig, const char *path)
{
	struct stat st;

	return fstatat(rig->config.root, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}
