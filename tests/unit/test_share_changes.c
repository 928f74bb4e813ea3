/* What the guest is told of changes, its own and the host's. */
#include "unit/share_rig.h"
#include "unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define DIR_MODE  (S_IFDIR | 0755)
#define FILE_MODE (S_IFREG | 0644)

static uint64_t along(struct share_rig *rig, struct fuse_attr_out *ret_out)
{
	auto_buf struct buf bytes;
	uint64_t node = 0;

	buf_init(&bytes, 4096);
	share_along(rig->share, &bytes);
	if (buf_length(&bytes) == sizeof(node) + sizeof(*ret_out)) {
		memcpy(&node, buf_data(&bytes), sizeof(node));
		memcpy(ret_out, (const uint8_t *)buf_data(&bytes) + sizeof(node), sizeof(*ret_out));
	}
	return node;
}

static void a_change_brings_its_directorys_attributes_along(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_attr_out told;
	struct fuse_attr_out asked;
	struct fuse_entry_out entry;

	share_rig_init(&rig);
	rig.config.watch = true;
	share_rig_restart(&rig);
	share_rig_host_mkdir(&rig, "d");
	uint64_t d = share_rig_node(&rig, "d");
	CHECK_INT(share_rig_make(&rig, d, "f", FILE_MODE, NULL), 0);
	CHECK_INT(along(&rig, &told), 0); /* nothing in it was known before, to be watched */
	CHECK_INT(share_rig_lookup(&rig, d, "none", &entry), 0);
	CHECK_INT(along(&rig, &told), 0);
	for (int i = 0; i < 4; i++) {
		if (i == 0)
			CHECK_INT(share_rig_make(&rig, d, "g", FILE_MODE, NULL), 0);
		else if (i == 1)
			CHECK_INT(share_rig_make(&rig, d, "e", DIR_MODE, NULL), 0);
		else if (i == 2)
			CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, d, "f"), 0);
		else
			CHECK_INT(share_rig_rename(&rig, d, "g", d, "h", 0), 0);
		CHECK_INT(along(&rig, &told), d);
		CHECK_INT(share_rig_getattr(&rig, d, &asked), 0);
		CHECK(memcmp(&told, &asked, sizeof(told)) == 0);
		CHECK_INT(along(&rig, &told), 0);
	}
	CHECK_INT(share_rig_make(&rig, d, "h", FILE_MODE, NULL), -EEXIST);
	CHECK_INT(along(&rig, &told), 0);
}

/* The directory that the last LOOKUP found empty, 0 for none. */
static uint64_t empty(struct share_rig *rig)
{
	uint64_t said[3] = {0};
	auto_buf struct buf bytes;

	buf_init(&bytes, 4096);
	share_empty(rig->share, &bytes);
	if (buf_length(&bytes) > 0) {
		CHECK_INT(buf_length(&bytes), sizeof(said));
		memcpy(said, buf_data(&bytes), sizeof(said));
		CHECK_INT(said[0], rig->unique - 2); /* it is the next one's by now */
		CHECK_INT(said[2], 3600);
	}
	return said[1];
}

static void only_the_first_look_into_an_empty_directory_says_so(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_entry_out entry;

	share_rig_init(&rig);
	rig.config.watch = true;
	share_rig_restart(&rig);
	share_rig_host_mkdir(&rig, "d");
	share_rig_host_mkdir(&rig, "full");
	share_rig_host_put(&rig, "full/.f", "1");
	uint64_t d = share_rig_node(&rig, "d");
	uint64_t full = share_rig_node(&rig, "full");
	CHECK_INT(empty(&rig), 0);
	CHECK_INT(share_rig_lookup(&rig, d, "none", &entry), 0);
	CHECK_INT(empty(&rig), d);
	CHECK_INT(share_rig_lookup(&rig, d, "none", &entry), 0);
	CHECK_INT(empty(&rig), 0);
	CHECK_INT(share_rig_lookup(&rig, full, "none", &entry), 0);
	CHECK_INT(empty(&rig), 0);
	/* The pinned .devbox is there although it is not on the host. */
	CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, "none", &entry), 0);
	CHECK_INT(empty(&rig), 0);
	/* Nobody would tell the guest of what comes. */
	rig.config.watch = false;
	share_rig_restart(&rig);
	d = share_rig_node(&rig, "d");
	CHECK_INT(share_rig_lookup(&rig, d, "none", &entry), -ENOENT);
	CHECK_INT(empty(&rig), 0);
}

/* Whether the guest was told that a name in the root does not hold. */
static bool told_of(struct share_rig *rig, const char *name)
{
	struct fuse_notify_inval_entry_out entry;
	struct fuse_out_header out;
	struct buf *notices = share_notices(rig->share);
	bool found = false;

	share_watch_read(rig->share);
	while (buf_length(notices) > 0) {
		const uint8_t *data = buf_data(notices);

		memcpy(&out, data, sizeof(out));
		memcpy(&entry, data + sizeof(out), sizeof(entry));
		if (out.error == FUSE_NOTIFY_INVAL_ENTRY && entry.parent == FUSE_ROOT_ID &&
		    strcmp((const char *)data + sizeof(out) + sizeof(entry), name) == 0)
			found = true;
		buf_consume(notices, out.len);
	}
	return found;
}

static void host_move(struct share_rig *rig, const char *from, const char *to)
{
	char path[2][4200];

	(void)snprintf(path[0], sizeof(path[0]), "%s/project/%s", rig->dir.path, from);
	(void)snprintf(path[1], sizeof(path[1]), "%s/project/%s", rig->dir.path, to);
	CHECK_INT(rename(path[0], path[1]), 0);
}

/* However late the events are read, and whatever found it at its new place before. */
static void what_the_host_moved_is_told_to_be_gone_from_where_it_was(void)
{
	enum { IN_ORDER, LOOKED_UP, LISTED, MADE_BEFORE, CASES };

	for (int how = 0; how < CASES; how++) {
		auto_share_rig struct share_rig rig;
		struct fuse_entry_out entry;

		share_rig_init(&rig);
		rig.config.watch = true;
		share_rig_restart(&rig);
		share_rig_host_put(&rig, "new", "1");
		share_rig_host_put(&rig, "f", "1");
		CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, "new", &entry), 0);
		CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, "f", &entry), 0);
		CHECK(!told_of(&rig, "new"));
		if (how == MADE_BEFORE) {
			host_move(&rig, "f", "old");
			share_rig_host_put(&rig, "f", "2");
		}
		host_move(&rig, "new", "f");
		if (how == LOOKED_UP)
			CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, "f", &entry), 0);
		if (how == LISTED)
			CHECK(share_rig_lists(&rig, FUSE_ROOT_ID, "f", true));
		CHECK(told_of(&rig, "new"));
	}
}

static void what_the_host_makes_of_the_projects_devbox_is_no_place_for_a_node(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_entry_out entry;

	share_rig_init(&rig);
	rig.config.watch = true;
	share_rig_restart(&rig);
	host_move(&rig, ".devbox", "moved");
	CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, "moved", &entry), 0);
	share_rig_host_put(&rig, ".devbox", "a file");
	host_move(&rig, ".devbox", "file");
	host_move(&rig, "moved", ".devbox");
	CHECK(told_of(&rig, "moved"));
	CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, ".devbox", &entry), 0);
	CHECK_INT(entry.nodeid, 2);
}

/* Under a watch for an hour, else for a second. */
static void what_nobody_watches_is_believed_for_a_second(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_entry_out entry;
	struct fuse_attr_out attr;
	char path[4200];
	char other[4200];

	share_rig_init(&rig);
	share_rig_host_mkdir(&rig, "d");
	share_rig_host_put(&rig, "d/f", "1");
	share_rig_host_put(&rig, "d/one", "1");
	(void)snprintf(path, sizeof(path), "%s/project/d/one", rig.dir.path);
	(void)snprintf(other, sizeof(other), "%s/project/d/two", rig.dir.path);
	CHECK_INT(link(path, other), 0);
	for (int watched = 1; watched >= 0; watched--) {
		uint64_t seconds = watched ? 3600 : 1;

		rig.config.watch = watched;
		share_rig_restart(&rig);
		uint64_t d = share_rig_node(&rig, "d");
		CHECK_INT(share_rig_lookup(&rig, d, "f", &entry), 0);
		CHECK_INT(entry.entry_valid, seconds);
		CHECK_INT(entry.attr_valid, seconds);
		CHECK_INT(share_rig_getattr(&rig, d, &attr), 0);
		CHECK_INT(attr.attr_valid, seconds);
		/* A file changes through its other name, which may be in no watched directory. */
		CHECK_INT(share_rig_lookup(&rig, d, "one", &entry), 0);
		CHECK_INT(entry.attr_valid, 1);
		/* Nor is it believed longer that there is nothing. */
		if (watched) {
			CHECK_INT(share_rig_lookup(&rig, d, "none", &entry), 0);
			CHECK_INT(entry.nodeid, 0);
			CHECK_INT(entry.entry_valid, 3600);
		} else {
			CHECK_INT(share_rig_lookup(&rig, d, "none", &entry), -ENOENT);
		}
	}
}

static int append(struct share_rig *rig, uint64_t node, uint64_t offset, const char *text)
{
	struct fuse_write_in in = {
	    .offset = offset, .size = (uint32_t)strlen(text), .flags = FUSE_O_APPEND};

	share_rig_begin(rig, FUSE_WRITE, node);
	share_rig_add(rig, &in, sizeof(in));
	share_rig_add(rig, text, strlen(text));
	return share_rig_ask(rig);
}

static bool content_is(struct share_rig *rig, uint64_t node, const char *text)
{
	char bytes[256];
	int n = share_rig_read(rig, node, 0, bytes);

	return n == (int)strlen(text) && memcmp(bytes, text, (size_t)n) == 0;
}

/* Wherever the guest's kernel takes the end to be; then it is told. */
static void what_is_appended_goes_to_the_files_real_end(void)
{
	auto_share_rig struct share_rig rig;
	struct buf *notices;

	share_rig_init(&rig);
	share_rig_host_put(&rig, "f", "one ");
	uint64_t f = share_rig_node(&rig, "f");
	notices = share_notices(rig.share);
	CHECK_INT(append(&rig, f, 4, "two "), 0);
	CHECK_INT(buf_length(notices), 0);
	CHECK_INT(append(&rig, f, 4, "three "), 0); /* "two " is the host's, say */
	CHECK(content_is(&rig, f, "one two three "));
	CHECK(buf_length(notices) > 0);
	buf_clear(notices);
	CHECK_INT(append(&rig, f, 100, "four"), 0); /* it was truncated by the host */
	CHECK(content_is(&rig, f, "one two three four"));
	CHECK(buf_length(notices) > 0);
	CHECK_INT(share_rig_write(&rig, f, 0, "ONE"), 0);
	CHECK(content_is(&rig, f, "ONE two three four"));
}

static void what_another_server_appended_before_it_died_is_not_appended_again(void)
{
	auto_share_rig struct share_rig rig;

	share_rig_init(&rig);
	rig.again = true;
	share_rig_host_put(&rig, "f", "one two ");
	uint64_t f = share_rig_node(&rig, "f");
	CHECK_INT(append(&rig, f, 4, "two "), 0); /* it was done */
	CHECK(content_is(&rig, f, "one two "));
	CHECK_INT(append(&rig, f, 4, "two three "), 0); /* and a part of this */
	CHECK(content_is(&rig, f, "one two three "));
	CHECK_INT(append(&rig, f, 8, "t"), 0); /* the host goes on behind it */
	CHECK(content_is(&rig, f, "one two three "));
	CHECK_INT(append(&rig, f, 14, "four "), 0); /* not done */
	CHECK(content_is(&rig, f, "one two three four "));
	CHECK_INT(append(&rig, f, 14, "five"), 0); /* nor this, but the host was */
	CHECK(content_is(&rig, f, "one two three four five"));
}

/* Else it would pass for what the guest wrote itself. */
static void what_the_host_wrote_before_the_guest_writes_is_news(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_notify_inval_inode_out told;
	char bytes[256];

	share_rig_init(&rig);
	share_rig_host_put(&rig, "f", "one");
	uint64_t f = share_rig_node(&rig, "f");
	CHECK_INT(share_rig_read(&rig, f, 0, bytes), 3);
	CHECK_INT(share_rig_write(&rig, f, 0, "t"), 0);
	CHECK_INT(buf_length(share_notices(rig.share)), 0);
	share_rig_host_put(&rig, "f", "three");
	CHECK_INT(share_rig_write(&rig, f, 0, "T"), 0);
	CHECK_INT(buf_length(share_notices(rig.share)),
		  sizeof(struct fuse_out_header) + sizeof(told));
	memcpy(&told, buf_data(share_notices(rig.share)) + sizeof(struct fuse_out_header),
	       sizeof(told));
	CHECK_INT(told.ino, f);
	CHECK_INT(told.off, 0);
}

TEST_MAIN(TEST(a_change_brings_its_directorys_attributes_along),
	  TEST(only_the_first_look_into_an_empty_directory_says_so),
	  TEST(what_the_host_moved_is_told_to_be_gone_from_where_it_was),
	  TEST(what_the_host_makes_of_the_projects_devbox_is_no_place_for_a_node),
	  TEST(what_nobody_watches_is_believed_for_a_second),
	  TEST(what_the_host_wrote_before_the_guest_writes_is_news),
	  TEST(what_is_appended_goes_to_the_files_real_end),
	  TEST(what_another_server_appended_before_it_died_is_not_appended_again))
