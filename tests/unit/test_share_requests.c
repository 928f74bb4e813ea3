/* Requests of every kind, well and badly formed. */
#include "unit/share_rig.h"

#include "base/mem.h"
#include "unit/test.h"

#include <errno.h>

#define DIR_MODE  (S_IFDIR | 0755)
#define FILE_MODE (S_IFREG | 0644)

static int setattr(struct share_rig *rig, uint64_t node, const struct fuse_setattr_in *in,
		   struct fuse_attr_out *ret_out)
{
	int r;

	share_rig_begin(rig, FUSE_SETATTR, node);
	share_rig_add(rig, in, sizeof(*in));
	r = share_rig_ask(rig);
	if (r == 0)
		memcpy(ret_out, rig->answer, sizeof(*ret_out));
	return r;
}

/* Every opcode with every length of body, filled with bytes that are large as numbers and no end of
 * a string: an answer, or none, but no crash, and nothing is made. */
static void a_request_cut_anywhere_is_refused(void)
{
	auto_share_rig struct share_rig rig;
	uint8_t body[160];

	share_rig_init(&rig);
	share_rig_host_put(&rig, "f", "1");
	uint64_t f = share_rig_node(&rig, "f");
	memset(body, 0xff, sizeof(body));
	for (uint32_t opcode = 0; opcode < 60; opcode++) {
		for (size_t length = 0; length <= sizeof(body); length++) {
			for (int i = 0; i < 2; i++) {
				share_rig_begin(&rig, opcode, i ? f : FUSE_ROOT_ID);
				share_rig_add(&rig, body, length);
				(void)share_rig_ask(&rig);
			}
		}
	}
	CHECK(share_rig_lists(&rig, FUSE_ROOT_ID, "f", false));
	CHECK(share_rig_node(&rig, "f") != 0);
}

static void what_is_no_request_at_all_is_the_end_of_the_link(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_in_header in = {.len = sizeof(in), .opcode = FUSE_GETATTR, .nodeid = 1};
	auto_buf struct buf reply;

	share_rig_init(&rig);
	buf_init(&reply, SHARE_REPLY_MAX);
	CHECK_INT(share_request(rig.share, &in, sizeof(in), false, &reply), -1); /* unique 0 */
	in.unique = 2;
	CHECK_INT(share_request(rig.share, &in, sizeof(in) - 1, false, &reply), -1);
	in.len = sizeof(in) + 1;
	CHECK_INT(share_request(rig.share, &in, sizeof(in), false, &reply), -1);
	in.len = sizeof(in);
	in.total_extlen = 1;
	CHECK_INT(share_request(rig.share, &in, sizeof(in), false, &reply), -1);
	CHECK_INT(buf_length(&reply), 0);
}

static void unknown_requests_are_declined_for_good(void)
{
	auto_share_rig struct share_rig rig;
	static const uint32_t opcodes[] = {14 /* OPEN */,
					   22 /* GETXATTR */,
					   25 /* FLUSH */,
					   27 /* OPENDIR */,
					   35 /* CREATE */,
					   51 /* TMPFILE */,
					   0,
					   1u << 20,
					   UINT32_MAX};

	share_rig_init(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		share_rig_begin(&rig, opcodes[i], FUSE_ROOT_ID);
		CHECK_INT(share_rig_ask(&rig), -ENOSYS);
	}
}

static void init_takes_the_lower_version_and_no_unknown_flags(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_init_in in = {.major = 7, .minor = 45, .max_readahead = 1u << 30, .flags = ~0u};
	struct fuse_init_out out;

	share_rig_init(&rig);
	share_rig_begin(&rig, FUSE_INIT, 0);
	share_rig_add(&rig, &in, sizeof(in));
	share_rig_add(&rig, &(uint64_t[6]){0}, 48);
	CHECK_INT(share_rig_ask(&rig), 0);
	CHECK_INT(rig.answer_length, sizeof(out));
	memcpy(&out, rig.answer, sizeof(out));
	CHECK_INT(out.minor, 36);
	CHECK_INT(out.max_readahead, SHARE_READ_MAX);
	CHECK(out.flags & FUSE_NO_OPEN_SUPPORT);
	CHECK(!(out.flags & (1u << 16))); /* no writeback cache */
	CHECK(!(out.flags & (1u << 1)));  /* locks stay in the guest */
	in.minor = 20;
	share_rig_begin(&rig, FUSE_INIT, 0);
	share_rig_add(&rig, &in, sizeof(in));
	CHECK_INT(share_rig_ask(&rig), -EPROTO);
}

static void one_pair_of_ids_is_mapped_and_chown_is_only_a_no_op(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_attr_out out;
	struct fuse_setattr_in in = {.valid = FATTR_UID | FATTR_GID, .uid = 1000, .gid = 1001};

	share_rig_init(&rig);
	share_rig_host_put(&rig, "f", "1");
	uint64_t f = share_rig_node(&rig, "f");
	CHECK_INT(share_rig_getattr(&rig, f, &out), 0);
	CHECK_INT(out.attr.uid, 1000);
	CHECK_INT(out.attr.gid, 1001);
	CHECK_INT(setattr(&rig, f, &in, &out), 0);
	in.uid = 0;
	CHECK_INT(setattr(&rig, f, &in, &out), -EPERM);
	in.valid = FATTR_GID;
	in.gid = 1000;
	CHECK_INT(setattr(&rig, f, &in, &out), -EPERM);
}

static void setuid_and_setgid_are_dropped_and_not_shown(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = 06711};
	struct fuse_attr_out out;
	struct stat st;
	uint64_t f;

	share_rig_init(&rig);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "f", S_IFREG | 06755, &f), 0);
	CHECK_INT(fstatat(rig.config.root, "f", &st, 0), 0);
	CHECK_INT(st.st_mode & 07777, 0755);
	CHECK_INT(setattr(&rig, f, &in, &out), 0);
	CHECK_INT(out.attr.mode & 07777, 0711);
	CHECK_INT(fchmodat(rig.config.root, "f", 04755, 0), 0);
	CHECK_INT(share_rig_getattr(&rig, f, &out), 0);
	CHECK_INT(out.attr.mode & 07777, 0755);
}

static void devices_are_not_made(void)
{
	auto_share_rig struct share_rig rig;

	share_rig_init(&rig);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "c", S_IFCHR | 0666, NULL), -EPERM);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "b", S_IFBLK | 0666, NULL), -EPERM);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "?", 0, NULL), -EPERM);
	CHECK(!share_rig_host_has(&rig, "c"));
}

static void sizes_and_offsets_are_bounded(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_read_in read_in = {.size = SHARE_READ_MAX + 1};
	struct fuse_write_in write_in = {.size = 100};
	struct fuse_fallocate_in fallocate_in = {.offset = INT64_MAX, .length = 1};
	struct fuse_lseek_in lseek_in = {.whence = 3, .offset = UINT64_MAX};
	struct fuse_attr_out out;
	char bytes[256];

	share_rig_init(&rig);
	share_rig_host_put(&rig, "f", "12345");
	uint64_t f = share_rig_node(&rig, "f");
	share_rig_begin(&rig, FUSE_READ, f);
	share_rig_add(&rig, &read_in, sizeof(read_in));
	CHECK_INT(share_rig_ask(&rig), -EINVAL);
	CHECK_INT(share_rig_read(&rig, f, UINT64_MAX, bytes), -EINVAL);
	CHECK_INT(share_rig_read(&rig, f, INT64_MAX - 10, bytes), -EINVAL);
	CHECK_INT(share_rig_read(&rig, f, 3, bytes), 2);
	share_rig_begin(&rig, FUSE_WRITE, f); /* more promised than sent */
	share_rig_add(&rig, &write_in, sizeof(write_in));
	share_rig_add(&rig, bytes, 99);
	CHECK_INT(share_rig_ask(&rig), -EINVAL);
	share_rig_begin(&rig, FUSE_FALLOCATE, f);
	share_rig_add(&rig, &fallocate_in, sizeof(fallocate_in));
	CHECK_INT(share_rig_ask(&rig), -EINVAL);
	share_rig_begin(&rig, FUSE_LSEEK, f);
	share_rig_add(&rig, &lseek_in, sizeof(lseek_in));
	CHECK_INT(share_rig_ask(&rig), -EINVAL);
	CHECK_INT(setattr(&rig, f,
			  &(struct fuse_setattr_in){.valid = FATTR_SIZE, .size = UINT64_MAX}, &out),
		  -EFBIG);
	CHECK_INT(setattr(&rig, f,
			  &(struct fuse_setattr_in){.valid = FATTR_MTIME, .mtimensec = UINT32_MAX},
			  &out),
		  -EINVAL);
}

static void a_batch_of_forgets_ends_where_the_message_ends(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_batch_forget_in in = {.count = UINT32_MAX};
	char bytes[256];

	share_rig_init(&rig);
	share_rig_host_put(&rig, "a", "1");
	share_rig_host_put(&rig, "b", "1");
	uint64_t a = share_rig_node(&rig, "a");
	uint64_t b = share_rig_node(&rig, "b");
	struct fuse_forget_one ones[] = {{a, 1}, {b, 5}};

	share_rig_begin(&rig, FUSE_BATCH_FORGET, 0);
	share_rig_add(&rig, &in, sizeof(in));
	share_rig_add(&rig, ones, sizeof(ones));
	CHECK_INT(share_rig_ask(&rig), 1);
	CHECK_INT(share_rig_read(&rig, a, 0, bytes), -ESTALE);
	CHECK_INT(share_rig_read(&rig, b, 0, bytes), -ESTALE);
}

static void the_number_of_nodes_is_bounded(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_entry_out entry;
	char name[16];

	share_rig_init(&rig);
	rig.config.nodes_max = 20;
	share_rig_restart(&rig);
	for (int i = 0; i < 30; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		share_rig_host_put(&rig, name, "");
		CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, name, &entry), i < 20 ? 0 : -ENFILE);
	}
	/* Listing goes on without giving out more. */
	CHECK(share_rig_lists(&rig, FUSE_ROOT_ID, "29", true));
	uint64_t last = share_rig_node(&rig, "3");
	share_rig_forget(&rig, last, 100);
	CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, "25", &entry), 0);
}

static void a_read_only_share_changes_nothing(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_attr_out out;
	char bytes[256];

	share_rig_init(&rig);
	rig.config.read_only = true;
	share_rig_restart(&rig);
	share_rig_host_put(&rig, "f", "1");
	share_rig_host_mkdir(&rig, "d");
	uint64_t f = share_rig_node(&rig, "f");
	CHECK_INT(share_rig_read(&rig, f, 0, bytes), 1);
	CHECK_INT(share_rig_write(&rig, f, 0, "2"), -EROFS);
	CHECK_INT(setattr(&rig, f, &(struct fuse_setattr_in){.valid = FATTR_SIZE}, &out), -EROFS);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "g", FILE_MODE, NULL), -EROFS);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "g", DIR_MODE, NULL), -EROFS);
	CHECK_INT(share_rig_symlink(&rig, FUSE_ROOT_ID, "g", "f"), -EROFS);
	CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, FUSE_ROOT_ID, "f"), -EROFS);
	CHECK_INT(share_rig_remove(&rig, FUSE_RMDIR, FUSE_ROOT_ID, "d"), -EROFS);
	CHECK_INT(share_rig_rename(&rig, FUSE_ROOT_ID, "f", FUSE_ROOT_ID, "g", 0), -EROFS);
}

static void a_file_replaced_by_the_host_is_stale_by_its_old_id(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_attr_out out;
	struct fuse_entry_out entry;

	share_rig_init(&rig);
	share_rig_host_put(&rig, "f", "old");
	uint64_t f = share_rig_node(&rig, "f");
	share_rig_host_put(&rig, "new", "new");
	CHECK_INT(renameat(rig.config.root, "new", rig.config.root, "f"), 0);
	CHECK_INT(share_rig_getattr(&rig, f, &out), -ESTALE);
	CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, "f", &entry), 0);
	CHECK(entry.nodeid != f);
}

static void a_directory_moved_by_the_host_is_found_again(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_entry_out entry;

	share_rig_init(&rig);
	share_rig_host_mkdir(&rig, "a");
	share_rig_host_mkdir(&rig, "a/b");
	uint64_t a = share_rig_node(&rig, "a");
	uint64_t b = share_rig_node(&rig, "a/b");
	/* b out of a, then a into b: the old places of both would make a circle. */
	CHECK_INT(renameat(rig.config.root, "a/b", rig.config.root, "b"), 0);
	CHECK_INT(renameat(rig.config.root, "a", rig.config.root, "b/a"), 0);
	CHECK(share_rig_lookup(&rig, b, "a", &entry) < 0);
	CHECK_INT(share_rig_node(&rig, "b"), b);
	CHECK_INT(share_rig_node(&rig, "b/a"), a);
}

TEST_MAIN(TEST(a_request_cut_anywhere_is_refused),
	  TEST(what_is_no_request_at_all_is_the_end_of_the_link),
	  TEST(unknown_requests_are_declined_for_good),
	  TEST(init_takes_the_lower_version_and_no_unknown_flags),
	  TEST(one_pair_of_ids_is_mapped_and_chown_is_only_a_no_op),
	  TEST(setuid_and_setgid_are_dropped_and_not_shown), TEST(devices_are_not_made),
	  TEST(sizes_and_offsets_are_bounded), TEST(a_batch_of_forgets_ends_where_the_message_ends),
	  TEST(the_number_of_nodes_is_bounded), TEST(a_read_only_share_changes_nothing),
	  TEST(a_file_replaced_by_the_host_is_stale_by_its_old_id),
	  TEST(a_directory_moved_by_the_host_is_found_again))
