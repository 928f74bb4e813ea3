/* Descriptors of the server's, and files that have lost the name they were known by. */
#include "unit/share_rig.h"

#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define FILE_MODE (S_IFREG | 0644)

static void start_over(struct share_rig *rig, bool orphans)
{
	share_rig_init(rig);
	if (!orphans)
		share_rig_restart_without_orphans(rig);
}

/* What the guest's kernel does with a name it holds: asks by the node, and looks again if stale. */
static int getattr_by(struct share_rig *rig, const char *name, uint64_t node,
		      struct fuse_attr_out *ret_out)
{
	struct fuse_entry_out entry;
	int r = share_rig_getattr(rig, node, ret_out);

	if (r != -ESTALE)
		return r;
	r = share_rig_lookup(rig, FUSE_ROOT_ID, name, &entry);
	return r < 0 ? r : share_rig_getattr(rig, entry.nodeid, ret_out);
}

static void descriptors_are_bounded(void)
{
	auto_share_rig struct share_rig rig;
	char name[16];
	char bytes[256];
	int before;
	int after;

	share_rig_init(&rig);
	rig.config.files_max = 8;
	share_rig_restart(&rig);
	before = dup(0);
	for (int i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		share_rig_host_put(&rig, name, name);
		uint64_t node = share_rig_node(&rig, name);
		CHECK_INT(share_rig_read(&rig, node, 0, bytes), (int)strlen(name));
		CHECK_INT(share_rig_write(&rig, node, 0, "x"), 0);
	}
	after = dup(0);
	CHECK(after - before <= 12);
	(void)close(before);
	(void)close(after);
}

static void nothing_is_copied_from_a_file_that_had_to_be_closed(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_copy_file_range_in in = {.len = 4};
	struct rlimit before;
	struct rlimit none;
	char bytes[256] = {0};

	share_rig_init(&rig);
	share_rig_host_put(&rig, "from", "from");
	share_rig_host_put(&rig, "to", "to");
	uint64_t from = share_rig_node(&rig, "from");
	in.nodeid_out = share_rig_node(&rig, "to");
	CHECK_INT(share_rig_read(&rig, from, 0, bytes), 4);
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = (rlim_t)dup(0); /* the first that is free */
	(void)close((int)none.rlim_cur);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &none), 0);
	share_rig_begin(&rig, FUSE_COPY_FILE_RANGE, from);
	share_rig_add(&rig, &in, sizeof(in));
	CHECK_INT(share_rig_ask(&rig), -EOPNOTSUPP);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &before), 0);
	CHECK_INT(share_rig_ask(&rig), 0);
	CHECK_INT(share_rig_read(&rig, in.nodeid_out, 0, bytes), 4);
	CHECK_STR(bytes, "from");
}

static void orphans_of_shares_that_are_none_any_more_are_removed(void)
{
	auto_share_rig struct share_rig rig;
	static const char *const names[] = {"0-0000000000000012", "1-0000000000000012",
					    "77-0000000000000012", "1-what"};
	static const bool used[] = {true, false};
	static const bool left[] = {true, false, false, true};
	struct stat st;

	share_rig_init(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)close(openat(rig.config.orphans, names[i], O_WRONLY | O_CREAT, 0600));
	share_sweep_orphans(rig.config.orphans, used, ARRAY_SIZE(used));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		CHECK_INT(fstatat(rig.config.orphans, names[i], &st, 0) == 0, left[i]);
}

static void a_file_written_to_is_closed_when_it_was_left_alone(void)
{
	auto_share_rig struct share_rig rig;
	uint64_t f;

	share_rig_init(&rig);
	(void)share_tick(rig.share, 1000);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "f", FILE_MODE, &f), 0);
	CHECK_INT(share_rig_write(&rig, f, 0, "x"), 0);
	CHECK(share_tick(rig.share, 1010) > 0);
	CHECK_INT(share_tick(rig.share, 10000), -1);
	CHECK_INT(share_rig_write(&rig, f, 1, "y"), 0);
}

static void an_unlinked_file_keeps_its_content_until_it_is_forgotten(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_attr_out out;
	char bytes[256] = {0};
	uint64_t f;

	for (int with_orphans = 0; with_orphans < 2; with_orphans++) {
		start_over(&rig, with_orphans);
		CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "f", FILE_MODE, &f), 0);
		CHECK_INT(share_rig_write(&rig, f, 0, "content"), 0);
		CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, FUSE_ROOT_ID, "f"), 0);
		CHECK(!share_rig_host_has(&rig, "f"));
		(void)share_tick(rig.share, 100000);
		CHECK_INT(share_rig_read(&rig, f, 0, bytes), 7);
		CHECK_INT(share_rig_write(&rig, f, 7, "!"), 0);
		CHECK_INT(share_rig_getattr(&rig, f, &out), 0);
		CHECK_INT(out.attr.nlink, 0);
		CHECK_INT(out.attr.size, 8);
		share_rig_forget(&rig, f, 1);
		CHECK_INT(share_rig_read(&rig, f, 0, bytes), -ESTALE);
		CHECK_INT(unlinkat(rig.config.root, ".devbox/vm/orphans", AT_REMOVEDIR), 0);
		if (!with_orphans)
			share_rig_done(&rig);
	}
}

static void what_loses_one_of_two_names_is_there_by_the_other(void)
{
	static const uint32_t types[] = {S_IFREG, S_IFIFO, S_IFSOCK, S_IFLNK};
	auto_share_rig struct share_rig rig;
	struct fuse_attr_out out;
	uint64_t node;

	for (unsigned i = 0; i < 4 * ARRAY_SIZE(types); i++) {
		uint32_t type = types[i / 4];
		bool orphans = i & 1;
		bool replaced = i & 2;

		start_over(&rig, orphans);
		if (type == S_IFLNK)
			CHECK_INT(symlinkat("to", rig.config.root, "a"), 0);
		else
			CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "a", type | 0644, NULL), 0);
		node = share_rig_node(&rig, "a");
		CHECK_INT(linkat(rig.config.root, "a", rig.config.root, "b", 0), 0);
		share_rig_host_put(&rig, "other", "");
		CHECK(share_rig_node(&rig, "other") != 0);
		if (replaced)
			CHECK_INT(
			    share_rig_rename(&rig, FUSE_ROOT_ID, "other", FUSE_ROOT_ID, "a", 0), 0);
		else
			CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, FUSE_ROOT_ID, "a"), 0);
		CHECK_INT(getattr_by(&rig, "b", node, &out), 0);
		CHECK_INT(out.attr.nlink, 1);
		CHECK_INT(out.attr.mode & S_IFMT, type);
		CHECK_INT(share_rig_node(&rig, "b"), node);
		if (type == S_IFLNK) {
			share_rig_begin(&rig, FUSE_READLINK, node);
			CHECK_INT(share_rig_ask(&rig), 0);
			CHECK(rig.answer_length == 2 && memcmp(rig.answer, "to", 2) == 0);
		}
		/* The last one goes while it is open. */
		CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, FUSE_ROOT_ID, "b"), 0);
		CHECK_INT(share_rig_getattr(&rig, node, &out), 0);
		CHECK_INT(out.attr.mode & S_IFMT, type);
		CHECK_INT(out.attr.nlink, 0);
		share_rig_forget(&rig, node, 100);
		CHECK_INT(share_rig_getattr(&rig, node, &out), -ESTALE);
		CHECK_INT(unlinkat(rig.config.root, ".devbox/vm/orphans", AT_REMOVEDIR), 0);
		if (i + 1 < 4 * ARRAY_SIZE(types))
			share_rig_done(&rig);
	}
}

TEST_MAIN(TEST(descriptors_are_bounded), TEST(nothing_is_copied_from_a_file_that_had_to_be_closed),
	  TEST(orphans_of_shares_that_are_none_any_more_are_removed),
	  TEST(a_file_written_to_is_closed_when_it_was_left_alone),
	  TEST(an_unlinked_file_keeps_its_content_until_it_is_forgotten),
	  TEST(what_loses_one_of_two_names_is_there_by_the_other))
