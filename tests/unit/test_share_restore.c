/* A share that another process goes on with: what is kept, and what a damaged memory does. */
#include "unit/share_rig.h"

#include "base/mem.h"
#include "share/journal.h"
#include "unit/test.h"

#include <errno.h>

#define DIR_MODE  (S_IFDIR | 0755)
#define FILE_MODE (S_IFREG | 0644)

/* A new share with the old one's memory: `bytes`, which are then continued. */
static int go_on(struct share_rig *rig, const struct buf *bytes)
{
	struct err err = ERR_INIT;
	int r;

	share_rig_restart(rig);
	r = share_load(rig->share, buf_data(bytes), buf_length(bytes), &err);
	return r;
}

static void keep(struct share_rig *rig, struct buf *bytes)
{
	struct buf *journal = share_journal(rig->share);

	(void)buf_append(bytes, buf_data(journal), buf_length(journal));
	buf_clear(journal);
}

static void ids_places_and_orphans_outlive_the_process(void)
{
	auto_share_rig struct share_rig rig;
	auto_buf struct buf memory;
	struct fuse_entry_out entry;
	char bytes[256] = {0};
	uint64_t d;
	uint64_t f;
	uint64_t gone;

	share_rig_init(&rig);
	buf_init(&memory, 1 << 20);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "d", DIR_MODE, &d), 0);
	keep(&rig, &memory);
	CHECK_INT(share_rig_make(&rig, d, "f", FILE_MODE, &f), 0);
	CHECK_INT(share_rig_write(&rig, f, 0, "kept"), 0);
	CHECK_INT(share_rig_make(&rig, d, "gone", FILE_MODE, &gone), 0);
	CHECK_INT(share_rig_write(&rig, gone, 0, "gone"), 0);
	CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, d, "gone"), 0);
	keep(&rig, &memory);
	CHECK_INT(share_rig_rename(&rig, FUSE_ROOT_ID, "d", FUSE_ROOT_ID, "e", 0), 0);
	keep(&rig, &memory);
	CHECK_INT(go_on(&rig, &memory), 0);
	CHECK_INT(share_rig_read(&rig, f, 0, bytes), 4);
	CHECK_STR(bytes, "kept");
	CHECK_INT(share_rig_read(&rig, gone, 0, bytes), 4);
	CHECK_STR(bytes, "gone");
	CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, "e", &entry), 0);
	CHECK_INT(entry.nodeid, d);
	/* A new name gets an id that was never given out. */
	share_rig_host_put(&rig, "new", "");
	CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, "new", &entry), 0);
	CHECK(entry.nodeid > gone);
	share_rig_forget(&rig, gone, 1);
	CHECK_INT(unlinkat(rig.config.orphans, "0-0000000000000012", 0), -1);
}

static void a_snapshot_says_what_the_journal_said(void)
{
	auto_share_rig struct share_rig rig;
	auto_buf struct buf memory;
	char bytes[256];

	share_rig_init(&rig);
	buf_init(&memory, 1 << 20);
	for (char name[] = "a"; name[0] <= 'z'; name[0]++) {
		share_rig_host_put(&rig, name, name);
		CHECK(share_rig_node(&rig, name) != 0);
	}
	uint64_t q = share_rig_node(&rig, "q");
	CHECK_INT(share_snapshot(rig.share, &memory), 0);
	CHECK_INT(go_on(&rig, &memory), 0);
	CHECK_INT(share_rig_read(&rig, q, 0, bytes), 1);
	CHECK_INT(bytes[0], 'q');
	CHECK_INT(share_rig_node(&rig, "q"), q);
}

static void lookups_are_counted_across_processes(void)
{
	auto_share_rig struct share_rig rig;
	auto_buf struct buf memory;
	char bytes[256];

	share_rig_init(&rig);
	buf_init(&memory, 1 << 20);
	share_rig_host_put(&rig, "f", "1");
	uint64_t f = share_rig_node(&rig, "f");
	CHECK_INT(share_rig_node(&rig, "f"), f);
	keep(&rig, &memory);
	share_rig_forget(&rig, f, 1);
	keep(&rig, &memory);
	CHECK_INT(go_on(&rig, &memory), 0);
	CHECK_INT(share_rig_read(&rig, f, 0, bytes), 1);
	share_rig_forget(&rig, f, 1);
	CHECK_INT(share_rig_read(&rig, f, 0, bytes), -ESTALE);
}

/* The same request, as a guest sends it again to the next server. */
static int ask_again(struct share_rig *rig)
{
	rig->again = true;
	return share_rig_ask(rig);
}

static void an_answer_that_was_noted_is_given_again(void)
{
	auto_share_rig struct share_rig rig;
	auto_buf struct buf memory;
	struct fuse_entry_out first;
	struct fuse_entry_out second;
	struct fuse_mkdir_in in = {.mode = 0755};

	share_rig_init(&rig);
	buf_init(&memory, 1 << 20);
	share_rig_begin(&rig, FUSE_MKDIR, FUSE_ROOT_ID);
	share_rig_add(&rig, &in, sizeof(in));
	share_rig_add_name(&rig, "d");
	CHECK_INT(share_rig_ask(&rig), 0);
	memcpy(&first, rig.answer, sizeof(first));
	keep(&rig, &memory);
	CHECK_INT(go_on(&rig, &memory), 0);
	CHECK_INT(ask_again(&rig), 0);
	memcpy(&second, rig.answer, sizeof(second));
	CHECK_INT(second.nodeid, first.nodeid);
	share_rig_forget(&rig, first.nodeid, 1); /* one lookup was counted, not two */
	CHECK_INT(share_rig_lookup(&rig, first.nodeid, "x", &second), -ESTALE);
}

static void what_was_done_but_not_noted_is_no_error_the_second_time(void)
{
	auto_share_rig struct share_rig rig;
	auto_buf struct buf memory;
	struct fuse_rename2_in rename_in = {.newdir = FUSE_ROOT_ID};
	char bytes[256] = {0};
	uint64_t f;
	uint64_t old;

	share_rig_init(&rig);
	buf_init(&memory, 1 << 20);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "f", FILE_MODE, &f), 0);
	CHECK_INT(share_rig_write(&rig, f, 0, "new"), 0);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "to", FILE_MODE, &old), 0);
	CHECK_INT(share_rig_write(&rig, old, 0, "old"), 0);
	keep(&rig, &memory);
	share_rig_begin(&rig, FUSE_RENAME2, FUSE_ROOT_ID);
	share_rig_add(&rig, &rename_in, sizeof(rename_in));
	share_rig_add_name(&rig, "f");
	share_rig_add_name(&rig, "to");
	CHECK_INT(share_rig_ask(&rig), 0);
	CHECK_INT(go_on(&rig, &memory), 0); /* without a note of the rename */
	CHECK_INT(ask_again(&rig), 0);
	CHECK_INT(share_rig_read(&rig, f, 0, bytes), 3);
	CHECK_STR(bytes, "new");
	CHECK_INT(share_rig_read(&rig, old, 0, bytes), 3);
	CHECK_STR(bytes, "old");
	rig.again = false;
	buf_clear(&memory);
	keep(&rig, &memory);
	CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, FUSE_ROOT_ID, "to"), 0);
	CHECK_INT(go_on(&rig, &memory), 0);
	rig.again = true;
	CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, FUSE_ROOT_ID, "to"), 0);
	CHECK_INT(share_rig_read(&rig, f, 0, bytes), 3);
	rig.again = false;
	CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, FUSE_ROOT_ID, "to"), -ENOENT);
}

static void a_rename_by_another_name_is_known_to_be_done(void)
{
	auto_share_rig struct share_rig rig;
	auto_buf struct buf memory;
	struct fuse_rename2_in in = {.newdir = FUSE_ROOT_ID};

	share_rig_init(&rig);
	buf_init(&memory, 1 << 20);
	share_rig_host_put(&rig, "a", "1");
	CHECK_INT(linkat(rig.config.root, "a", rig.config.root, "b", 0), 0);
	uint64_t a = share_rig_node(&rig, "a");
	CHECK_INT(share_rig_node(&rig, "b"), a); /* where it is known to be now */
	keep(&rig, &memory);
	share_rig_begin(&rig, FUSE_RENAME2, FUSE_ROOT_ID);
	share_rig_add(&rig, &in, sizeof(in));
	share_rig_add_name(&rig, "a");
	share_rig_add_name(&rig, "c");
	CHECK_INT(share_rig_ask(&rig), 0);
	CHECK_INT(go_on(&rig, &memory), 0);
	CHECK_INT(ask_again(&rig), 0);
	CHECK(share_rig_host_has(&rig, "c"));
	rig.again = false;
	CHECK_INT(share_rig_node(&rig, "c"), a);
}

static void what_the_host_made_since_is_not_removed_the_second_time(void)
{
	auto_share_rig struct share_rig rig;
	auto_buf struct buf memory;

	share_rig_init(&rig);
	buf_init(&memory, 1 << 20);
	share_rig_host_put(&rig, "f", "1");
	share_rig_host_mkdir(&rig, "d");
	CHECK(share_rig_node(&rig, "f") != 0);
	CHECK(share_rig_node(&rig, "d") != 0);
	keep(&rig, &memory);
	CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, FUSE_ROOT_ID, "f"), 0);
	CHECK_INT(share_rig_remove(&rig, FUSE_RMDIR, FUSE_ROOT_ID, "d"), 0);
	share_rig_host_put(&rig, "f", "2");
	share_rig_host_mkdir(&rig, "d");
	CHECK_INT(go_on(&rig, &memory), 0);
	rig.again = true;
	CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, FUSE_ROOT_ID, "f"), 0);
	CHECK_INT(share_rig_remove(&rig, FUSE_RMDIR, FUSE_ROOT_ID, "d"), 0);
	CHECK(share_rig_host_has(&rig, "f"));
	CHECK(share_rig_host_has(&rig, "d"));
}

/* Of what was not there no node is left that anybody would tell of. */
static void that_nothing_was_there_is_not_said_again(void)
{
	auto_share_rig struct share_rig rig;
	auto_buf struct buf memory;
	struct fuse_entry_out entry;

	share_rig_init(&rig);
	rig.config.watch = true; /* else it is an error, which the guest does not keep */
	share_rig_restart(&rig);
	buf_init(&memory, 1 << 20);
	share_rig_begin(&rig, FUSE_LOOKUP, FUSE_ROOT_ID);
	share_rig_add_name(&rig, "f");
	CHECK_INT(share_rig_ask(&rig), 0);
	keep(&rig, &memory);
	share_rig_host_put(&rig, "f", "");
	CHECK_INT(go_on(&rig, &memory), 0);
	CHECK_INT(ask_again(&rig), 0);
	memcpy(&entry, rig.answer, sizeof(entry));
	CHECK(entry.nodeid != 0);
}

static void a_repeated_unlink_removes_what_the_guest_knows(void)
{
	auto_share_rig struct share_rig rig;
	auto_buf struct buf memory;

	/* By another name: of the first one nothing is left, as there is no place for orphans. */
	share_rig_init(&rig);
	buf_init(&memory, 1 << 20);
	share_rig_restart_without_orphans(&rig);
	share_rig_host_put(&rig, "a", "1");
	CHECK_INT(linkat(rig.config.root, "a", rig.config.root, "b", 0), 0);
	CHECK(share_rig_node(&rig, "a") != 0);
	CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, FUSE_ROOT_ID, "a"), 0);
	keep(&rig, &memory);
	CHECK_INT(go_on(&rig, &memory), 0);
	rig.again = true;
	CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, FUSE_ROOT_ID, "b"), 0);
	CHECK(!share_rig_host_has(&rig, "b"));
	/* Without memory nobody can say what was done before. */
	share_rig_host_put(&rig, "c", "1");
	share_rig_restart(&rig);
	CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, FUSE_ROOT_ID, "c"), 0);
	CHECK(!share_rig_host_has(&rig, "c"));
}

static void what_was_to_be_told_is_told_by_the_next_server(void)
{
	auto_share_rig struct share_rig rig;
	auto_buf struct buf memory;
	auto_buf struct buf notices;
	auto_buf struct buf snapshot;

	share_rig_init(&rig);
	buf_init(&memory, 1 << 20);
	buf_init(&notices, 1 << 20);
	buf_init(&snapshot, 1 << 20);
	share_rig_host_put(&rig, "f", "one");
	uint64_t f = share_rig_node(&rig, "f");
	keep(&rig, &memory);
	share_rig_host_put(&rig, "f", "three");
	CHECK_INT(share_rig_write(&rig, f, 0, "T"), 0); /* finds that out */
	CHECK(share_has_news(rig.share));
	(void)buf_append(&notices, buf_data(share_notices(rig.share)),
			 buf_length(share_notices(rig.share)));
	CHECK_INT(share_snapshot(rig.share, &snapshot), 0);
	keep(&rig, &memory);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(go_on(&rig, i == 0 ? &memory : &snapshot), 0);
		CHECK_INT(buf_length(share_notices(rig.share)), buf_length(&notices));
		CHECK(memcmp(buf_data(share_notices(rig.share)), buf_data(&notices),
			     buf_length(&notices)) == 0);
	}
	share_was_told(rig.share);
	CHECK(!share_has_news(rig.share));
}

static void a_listing_that_is_sent_again_counts_no_lookups_twice(void)
{
	auto_share_rig struct share_rig rig;
	auto_buf struct buf memory;
	char bytes[256];

	share_rig_init(&rig);
	buf_init(&memory, 1 << 20);
	share_rig_host_put(&rig, "f", "1");
	uint64_t f = share_rig_node(&rig, "f");
	CHECK(share_rig_lists(&rig, FUSE_ROOT_ID, "f", true));
	keep(&rig, &memory);
	CHECK_INT(go_on(&rig, &memory), 0);
	rig.again = true;
	CHECK(share_rig_lists(&rig, FUSE_ROOT_ID, "f", true));
	share_rig_forget(&rig, f, 2);
	CHECK_INT(share_rig_read(&rig, f, 0, bytes), -ESTALE);
}

static void a_directory_that_only_a_later_node_needs_is_kept(void)
{
	auto_share_rig struct share_rig rig;
	auto_buf struct buf memory;
	char bytes[256] = {0};

	share_rig_init(&rig);
	buf_init(&memory, 1 << 20);
	share_rig_host_mkdir(&rig, "p");
	share_rig_host_put(&rig, "p/c", "c");
	share_rig_host_put(&rig, "p/d", "d");
	CHECK(share_rig_node(&rig, "p/c") != 0);
	uint64_t p = share_rig_node(&rig, "p");
	CHECK_INT(share_rig_rename(&rig, p, "c", FUSE_ROOT_ID, "c", 0), 0);
	keep(&rig, &memory);
	uint64_t d = share_rig_node(&rig, "p/d");
	share_rig_forget(&rig, p, 3);
	keep(&rig, &memory);
	CHECK_INT(go_on(&rig, &memory), 0);
	CHECK_INT(share_rig_read(&rig, d, 0, bytes), 1);
	CHECK_STR(bytes, "d");
}

/* As it would have been written when the file systems had other device numbers. */
static void renumber(struct buf *memory, uint64_t root_dev, uint64_t dev)
{
	uint8_t *at = (uint8_t *)(uintptr_t)buf_data(memory);
	const uint8_t *end = at + buf_length(memory);
	struct journal_record record;

	for (; at < end; at += sizeof(record) + ((record.length + 7) & ~7u)) {
		memcpy(&record, at, sizeof(record));
		if (record.type == JOURNAL_START)
			memcpy(at + sizeof(record) + offsetof(struct journal_start, root_dev),
			       &root_dev, sizeof(root_dev));
		else if (record.type == JOURNAL_NODE)
			memcpy(at + sizeof(record) + offsetof(struct journal_node, dev), &dev,
			       sizeof(dev));
	}
}

/* After a reboot of the host, or from another loop device: of the share's own file system, and of
 * one that is mounted in it or keeps the orphans. */
static void device_numbers_may_change_between_two_processes(void)
{
	static const uint64_t devs[] = {12345, 54321};

	for (size_t i = 0; i < ARRAY_SIZE(devs); i++) {
		auto_share_rig struct share_rig rig;
		auto_buf struct buf memory;
		char bytes[256] = {0};
		uint64_t d;
		uint64_t f;
		uint64_t gone;

		share_rig_init(&rig);
		buf_init(&memory, 1 << 20);
		CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "d", DIR_MODE, &d), 0);
		CHECK_INT(share_rig_make(&rig, d, "f", FILE_MODE, &f), 0);
		CHECK_INT(share_rig_write(&rig, f, 0, "kept"), 0);
		CHECK_INT(share_rig_make(&rig, d, "gone", FILE_MODE, &gone), 0);
		CHECK_INT(share_rig_write(&rig, gone, 0, "gone"), 0);
		CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, d, "gone"), 0);
		keep(&rig, &memory);
		renumber(&memory, devs[0], devs[i]);
		CHECK_INT(go_on(&rig, &memory), 0);
		CHECK_INT(share_rig_read(&rig, f, 0, bytes), 4);
		CHECK_STR(bytes, "kept");
		CHECK_INT(share_rig_read(&rig, gone, 0, bytes), 4);
		CHECK_STR(bytes, "gone");
		CHECK_INT(share_rig_node(&rig, "d/f"), f);
		CHECK_INT(share_rig_node(&rig, "d"), d);
	}
}

static void a_memory_cut_anywhere_is_a_state_of_the_past_or_refused(void)
{
	auto_share_rig struct share_rig rig;
	auto_buf struct buf memory;

	share_rig_init(&rig);
	buf_init(&memory, 1 << 20);
	share_rig_host_mkdir(&rig, "d");
	share_rig_host_put(&rig, "d/f", "1");
	(void)share_rig_node(&rig, "d/f");
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "g", FILE_MODE, NULL), 0);
	keep(&rig, &memory);
	for (size_t cut = 0; cut <= buf_length(&memory); cut++) {
		auto_buf struct buf part;

		buf_init(&part, 1 << 20);
		(void)buf_append(&part, buf_data(&memory), cut);
		(void)go_on(&rig, &part);
		CHECK(share_rig_node(&rig, "d/f") != 0);
	}
}

static void a_memory_with_any_byte_changed_does_no_harm(void)
{
	auto_share_rig struct share_rig rig;
	auto_buf struct buf memory;

	share_rig_init(&rig);
	buf_init(&memory, 1 << 20);
	share_rig_host_mkdir(&rig, "d");
	share_rig_host_put(&rig, "d/f", "1");
	(void)share_rig_node(&rig, "d/f");
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "g", FILE_MODE, NULL), 0);
	keep(&rig, &memory);
	for (size_t i = 0; i < buf_length(&memory); i++) {
		auto_buf struct buf changed;
		auto_free uint8_t *bytes = xmemdup(buf_data(&memory), buf_length(&memory));

		bytes[i] ^= (uint8_t)(1u << (i % 8));
		buf_init(&changed, 1 << 20);
		(void)buf_append(&changed, bytes, buf_length(&memory));
		(void)go_on(&rig, &changed);
		CHECK(share_rig_node(&rig, "d/f") != 0);
		CHECK(share_rig_node(&rig, "d/.devbox/vm") == 0);
	}
}

TEST_MAIN(TEST(ids_places_and_orphans_outlive_the_process),
	  TEST(a_snapshot_says_what_the_journal_said), TEST(lookups_are_counted_across_processes),
	  TEST(an_answer_that_was_noted_is_given_again),
	  TEST(what_was_done_but_not_noted_is_no_error_the_second_time),
	  TEST(a_rename_by_another_name_is_known_to_be_done),
	  TEST(what_the_host_made_since_is_not_removed_the_second_time),
	  TEST(that_nothing_was_there_is_not_said_again),
	  TEST(a_repeated_unlink_removes_what_the_guest_knows),
	  TEST(what_was_to_be_told_is_told_by_the_next_server),
	  TEST(a_listing_that_is_sent_again_counts_no_lookups_twice),
	  TEST(a_directory_that_only_a_later_node_needs_is_kept),
	  TEST(device_numbers_may_change_between_two_processes),
	  TEST(a_memory_cut_anywhere_is_a_state_of_the_past_or_refused),
	  TEST(a_memory_with_any_byte_changed_does_no_harm))
