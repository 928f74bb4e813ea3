/* What the guest is told of changes, its own and the host's. */
#include "unit/share_rig.h"
#include "unit/test.h"

#include <errno.h>

#define DIR_MODE  (S_IFDIR | 0755)
#define FILE_MODE (S_IFREG | 0644)

static int getattr(struct share_rig *rig, uint64_t node, struct fuse_attr_out *ret_out)
{
	int r;

	share_rig_begin(rig, FUSE_GETATTR, node);
	share_rig_add(rig, &(uint64_t[2]){0}, 16);
	r = share_rig_ask(rig);
	if (r == 0)
		memcpy(ret_out, rig->answer, sizeof(*ret_out));
	return r;
}

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
		CHECK_INT(getattr(&rig, d, &asked), 0);
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

TEST_MAIN(TEST(a_change_brings_its_directorys_attributes_along),
	  TEST(only_the_first_look_into_an_empty_directory_says_so))
