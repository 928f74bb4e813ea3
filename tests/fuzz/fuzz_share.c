/*
 * A guest that sends anything. The input is a list of requests, each a byte of opcode, a byte that
 * picks a node, a byte of length and so many bytes of body; some bytes of the body stand for names
 * that exist. The directory is the harness's own and lies beside a file that no request may change.
 */
#include "base/mem.h"
#include "share/fuse_proto.h"
#include "share/share.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REQUESTS_MAX 200
#define REPLY_MAX    ((size_t)4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void make_tree(int top)
{
	static const char *const dirs[] = {"p",	  "p/.devbox",	 "p/.devbox/vm",
					   "p/d", "p/d/.devbox", "p/d/.devbox/vm"};
	static const char *const files[] = {"p/f", "p/d/f", "p/.devbox/vm/kept", "outside"};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		must(mkdirat(top, dirs[i], 0755) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		auto_close int fd = openat(top, files[i], O_WRONLY | O_CREAT | O_EXCL, 0644);

		must(write(fd, "content", 7) == 7);
	}
	must(symlinkat("../outside", top, "p/l") == 0);
}

static void check_untouched(int top, const char *name)
{
	struct stat st;

	must(fstatat(top, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	     st.st_size == 7 && st.st_nlink == 1 && (st.st_mode & 07777) == 0644);
}

static void ask(struct share *share, struct buf *reply, uint32_t opcode, bool again, uint64_t node,
		uint64_t unique, const uint8_t *body, size_t length)
{
	struct fuse_in_header in = {
	    .len = (uint32_t)(sizeof(in) + length),
	    .opcode = opcode,
	    .unique = unique,
	    .nodeid = node,
	};
	auto_free uint8_t *request = xmalloc(sizeof(in) + length);

	memcpy(request, &in, sizeof(in));
	if (length)
		memcpy(request + sizeof(in), body, length);
	buf_clear(reply);
	must(share_request(share, request, sizeof(in) + length, again, reply) == 0);
	must(buf_length(reply) <= SHARE_REPLY_MAX + sizeof(struct fuse_out_header));
}

static void look_up(struct share *share, struct buf *reply, uint64_t parent, const char *name)
{
	ask(share, reply, FUSE_LOOKUP, false, parent, 1, (const uint8_t *)name, strlen(name) + 1);
}

static void run(struct share *share, const uint8_t *data, size_t size)
{
	static const uint64_t nodes[] = {1, 2, 16, 17, 18, 19, 20, 3, UINT64_MAX};
	auto_buf struct buf reply;

	buf_init(&reply, REPLY_MAX);
	look_up(share, &reply, 1, "f");	       /* 16 */
	look_up(share, &reply, 1, "d");	       /* 17 */
	look_up(share, &reply, 17, ".devbox"); /* 18 */
	look_up(share, &reply, 1, "l");	       /* 19 */
	for (uint64_t i = 0; size >= 3 && i < REQUESTS_MAX; i++) {
		size_t length = data[2] < size - 3 ? data[2] : size - 3;

		/* No FALLOCATE, and no size by SETATTR beyond what the body gives: a full disk is
		 * no finding. */
		if ((data[0] & 63) != FUSE_FALLOCATE)
			ask(share, &reply, data[0] & 63u, data[0] & 64,
			    nodes[data[1] % ARRAY_SIZE(nodes)], i + 2, data + 3, length);
		/* What it did itself comes back as an event, early or late. */
		if (data[0] & 128u)
			share_watch_read(share);
		(void)share_tick(share, i * 400);
		data += 3 + length;
		size -= 3 + length;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[] = "/tmp/dxvm-fuzz-XXXXXX";
	struct err err = ERR_INIT;
	struct share *share;

	must(mkdtemp(path) != NULL);
	auto_close int top = open(path, O_RDONLY | O_DIRECTORY);
	make_tree(top);
	auto_close int root = openat(top, "p", O_RDONLY | O_DIRECTORY);
	auto_close int hidden = openat(top, "p/.devbox/vm", O_RDONLY | O_DIRECTORY);
	struct share_config config = {
	    .root = root,
	    .root_name = "p",
	    .watch = true,
	    .local_devbox = true,
	    .orphans = hidden,
	    .hidden = hidden,
	    .nodes_max = 100,
	    .files_max = 4,
	};

	share = share_new(&config, &err);
	must(share != NULL);
	run(share, data, size);
	share_free(share);
	check_untouched(top, "outside");
	check_untouched(top, "p/.devbox/vm/kept");
	must(faccessat(root, "d/.devbox/vm", F_OK, 0) == 0 ||
	     faccessat(root, "d/.devbox", F_OK, 0) < 0);
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
