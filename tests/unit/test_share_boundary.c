/* What no guest sees, makes or reaches through a share, whatever it sends. */
#include "unit/share_rig.h"

#include "base/mem.h"
#include "share/boundary.h"
#include "unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define DIR_MODE  (S_IFDIR | 0755)
#define FILE_MODE (S_IFREG | 0644)

static void every_spelling_of_the_reserved_names_is_known(void)
{
	CHECK(boundary_is_devbox(".devbox"));
	CHECK(boundary_is_devbox(".DevBox"));
	CHECK(boundary_is_devbox(".dev\xe2\x80\x8c"
				 "box")); /* a zero-width character that HFS+ skips */
	CHECK(!boundary_is_devbox(".devbox2"));
	CHECK(!boundary_is_devbox(".devbo"));
	CHECK(!boundary_is_devbox("devbox"));
	CHECK(boundary_is_devbox(".devbox. .")); /* FAT drops what is at the end, */
	CHECK(boundary_is_devbox("DEVBOX~1"));	 /* and has a short name for it */
	CHECK(!boundary_is_devbox("devbox~"));
	CHECK(!boundary_is_devbox("devbox~1a"));
	CHECK(boundary_is_vm("vm."));
	CHECK(!boundary_is_vm("..."));
	CHECK(boundary_is_vm("VM"));
	CHECK(!boundary_is_vm("v"));
	CHECK(!boundary_is_vm("vm2"));
}

static void the_machines_directory_is_neither_seen_nor_made(void)
{
	auto_share_rig struct share_rig rig;
	static const char *const spellings[] = {"vm", "VM", "Vm"};
	struct fuse_entry_out entry;
	uint64_t sub;
	uint64_t devbox;

	share_rig_init(&rig);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "sub", DIR_MODE, &sub), 0);
	CHECK_INT(share_rig_make(&rig, sub, ".devbox", DIR_MODE, &devbox), 0);
	share_rig_host_mkdir(&rig, "sub/.devbox/vm");
	share_rig_host_put(&rig, "sub/.devbox/other", "");
	for (size_t i = 0; i < ARRAY_SIZE(spellings); i++) {
		const char *vm = spellings[i];

		CHECK_INT(share_rig_lookup(&rig, devbox, vm, &entry), -ENOENT);
		CHECK_INT(share_rig_make(&rig, devbox, vm, DIR_MODE, NULL), -EACCES);
		CHECK_INT(share_rig_make(&rig, devbox, vm, FILE_MODE, NULL), -EACCES);
		CHECK_INT(share_rig_symlink(&rig, devbox, vm, "/"), -EACCES);
		CHECK_INT(share_rig_remove(&rig, FUSE_RMDIR, devbox, vm), -ENOENT);
		CHECK_INT(share_rig_rename(&rig, devbox, vm, sub, "x", 0), -ENOENT);
		CHECK_INT(share_rig_rename(&rig, devbox, "other", devbox, vm, 0), -EACCES);
	}
	CHECK(!share_rig_lists(&rig, devbox, "vm", false));
	CHECK(!share_rig_lists(&rig, devbox, "vm", true));
	CHECK(share_rig_lists(&rig, devbox, "other", true));
}

static void no_rename_makes_the_machines_directory_appear(void)
{
	auto_share_rig struct share_rig rig;
	uint64_t x;
	uint64_t y;

	share_rig_init(&rig);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "x", DIR_MODE, &x), 0);
	CHECK_INT(share_rig_make(&rig, x, "VM", DIR_MODE, NULL), 0);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "y", DIR_MODE, &y), 0);
	CHECK_INT(share_rig_rename(&rig, FUSE_ROOT_ID, "x", y, ".devbox", 0), -EACCES);
	CHECK_INT(share_rig_rename(&rig, FUSE_ROOT_ID, "x", y, ".DEVBOX", FUSE_RENAME_NOREPLACE),
		  -EACCES);
	CHECK_INT(share_rig_make(&rig, y, ".devbox", DIR_MODE, NULL), 0);
	CHECK_INT(share_rig_rename(&rig, FUSE_ROOT_ID, "x", y, ".devbox", FUSE_RENAME_EXCHANGE),
		  -EACCES);
	CHECK_INT(share_rig_rename(&rig, y, ".devbox", FUSE_ROOT_ID, "x", FUSE_RENAME_EXCHANGE),
		  -EACCES);
	CHECK_INT(share_rig_symlink(&rig, x, ".devbox", "."), -EACCES);
	CHECK_INT(share_rig_symlink(&rig, x, "link", "."), 0);
	CHECK_INT(share_rig_rename(&rig, x, "link", x, ".devbox", 0), -EACCES);
	/* One that hides somebody's machine is not renamed so that it shows. */
	share_rig_host_mkdir(&rig, "y/.devbox/vm");
	CHECK_INT(share_rig_rename(&rig, y, ".devbox", y, "shown", 0), -EACCES);
	CHECK(!share_rig_host_has(&rig, "y/shown"));
	CHECK(share_rig_host_has(&rig, "x/VM"));
}

static void a_directory_that_the_host_calls_devbox_hides_it_at_once(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_entry_out entry;
	uint64_t vm;
	char bytes[256];

	share_rig_init(&rig);
	share_rig_host_mkdir(&rig, "x");
	share_rig_host_mkdir(&rig, "x/vm");
	share_rig_host_put(&rig, "x/vm/f", "1");
	vm = share_rig_node(&rig, "x/vm");
	uint64_t f = share_rig_node(&rig, "x/vm/f");
	CHECK(vm != 0 && f != 0);
	CHECK_INT(renameat(rig.config.root, "x", rig.config.root, "z"), 0);
	share_rig_host_mkdir(&rig, "x");
	CHECK_INT(renameat(rig.config.root, "z", rig.config.root, "x/.devbox"), 0);
	CHECK(share_rig_node(&rig, "x/.devbox") != 0);
	CHECK(share_rig_lookup(&rig, vm, "f", &entry) < 0);
	CHECK(share_rig_read(&rig, f, 0, bytes) < 0);
}

static void the_projects_devbox_is_always_there_and_always_empty(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_entry_out entry;
	struct fuse_entry_out again;

	share_rig_init(&rig);
	share_rig_host_put(&rig, ".devbox/host.sock", "");
	CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, ".devbox", &entry), 0);
	CHECK(S_ISDIR(entry.attr.mode));
	CHECK(!share_rig_lists(&rig, entry.nodeid, "host.sock", true));
	CHECK_INT(share_rig_lookup(&rig, entry.nodeid, "host.sock", &again), -ENOENT);
	CHECK_INT(share_rig_make(&rig, entry.nodeid, "f", FILE_MODE, NULL), -EACCES);
	CHECK_INT(share_rig_remove(&rig, FUSE_RMDIR, FUSE_ROOT_ID, ".devbox"), -EACCES);
	CHECK_INT(share_rig_rename(&rig, FUSE_ROOT_ID, ".devbox", FUSE_ROOT_ID, "x", 0), -EACCES);
	CHECK_INT(share_rig_rename(&rig, FUSE_ROOT_ID, ".Devbox", FUSE_ROOT_ID, "x", 0), -EACCES);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "d", DIR_MODE, NULL), 0);
	CHECK_INT(share_rig_rename(&rig, FUSE_ROOT_ID, "d", FUSE_ROOT_ID, ".devbox",
				   FUSE_RENAME_EXCHANGE),
		  -EACCES);
	/* The host takes it away: the guest's mount over it must not fall. */
	CHECK_INT(renameat(rig.config.root, ".devbox", rig.dir.fd, "taken"), 0);
	CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, ".devbox", &again), 0);
	CHECK_INT(again.nodeid, entry.nodeid);
	CHECK_INT(renameat(rig.dir.fd, "taken", rig.config.root, ".devbox"), 0);
}

static void a_data_directory_elsewhere_is_hidden_by_identity(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_entry_out entry;

	share_rig_init(&rig);
	CHECK_INT(mkdirat(rig.config.root, "a", 0755), 0);
	CHECK_INT(mkdirat(rig.config.root, "a/b", 0755), 0);
	CHECK_INT(renameat(rig.config.root, ".devbox/vm", rig.config.root, "a/b/data"), 0);
	share_rig_restart(&rig);
	uint64_t b = share_rig_node(&rig, "a/b");
	CHECK_INT(share_rig_lookup(&rig, b, "data", &entry), -ENOENT);
	CHECK(!share_rig_lists(&rig, b, "data", false));
	CHECK_INT(share_rig_rename(&rig, b, "data", FUSE_ROOT_ID, "x", 0), -EACCES);
	CHECK_INT(share_rig_rename(&rig, FUSE_ROOT_ID, "a", FUSE_ROOT_ID, "x", 0), -EACCES);
	CHECK_INT(share_rig_remove(&rig, FUSE_RMDIR, b, "data"), -EACCES);
	CHECK_INT(renameat(rig.config.root, "a/b/data", rig.config.root, ".devbox/vm"), 0);
}

static void names_that_are_paths_are_refused(void)
{
	auto_share_rig struct share_rig rig;
	static const char *const names[] = {"", ".", "..", "../outside", "a/b", "/"};
	struct fuse_entry_out entry;
	char long_name[258];

	share_rig_init(&rig);
	memset(long_name, 'n', sizeof(long_name));
	long_name[256] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, names[i], &entry), -EINVAL);
		CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, names[i], DIR_MODE, NULL), -EINVAL);
		CHECK_INT(share_rig_symlink(&rig, FUSE_ROOT_ID, names[i], "x"), -EINVAL);
		CHECK_INT(share_rig_remove(&rig, FUSE_UNLINK, FUSE_ROOT_ID, names[i]), -EINVAL);
		CHECK_INT(share_rig_rename(&rig, FUSE_ROOT_ID, names[i], FUSE_ROOT_ID, "x", 0),
			  -EINVAL);
		CHECK_INT(share_rig_rename(&rig, FUSE_ROOT_ID, "x", FUSE_ROOT_ID, names[i], 0),
			  -EINVAL);
	}
	CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, long_name, &entry), -ENAMETOOLONG);
}

static void links_are_never_followed_by_the_host(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_entry_out entry;
	char bytes[256];

	share_rig_init(&rig);
	CHECK_INT(symlinkat("../outside", rig.config.root, "way out"), 0);
	CHECK_INT(symlinkat("../outside/secret", rig.config.root, "secret"), 0);
	uint64_t dir = share_rig_node(&rig, "way out");
	uint64_t file = share_rig_node(&rig, "secret");
	CHECK(dir != 0 && file != 0);
	CHECK_INT(share_rig_lookup(&rig, dir, "secret", &entry), -ENOTDIR);
	CHECK(share_rig_read(&rig, file, 0, bytes) < 0);
	CHECK(share_rig_make(&rig, dir, "planted", FILE_MODE, NULL) < 0);
}

static void ids_that_nobody_was_given_are_stale(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_entry_out entry;
	char bytes[256];

	share_rig_init(&rig);
	share_rig_host_put(&rig, "f", "1");
	uint64_t f = share_rig_node(&rig, "f");
	CHECK_INT(share_rig_read(&rig, f, 0, bytes), 1);
	CHECK_INT(share_rig_read(&rig, f + 1, 0, bytes), -ESTALE);
	CHECK_INT(share_rig_read(&rig, 3, 0, bytes), -ESTALE);
	CHECK_INT(share_rig_lookup(&rig, UINT64_MAX, "f", &entry), -ESTALE);
	share_rig_forget(&rig, f, 1);
	CHECK_INT(share_rig_read(&rig, f, 0, bytes), -ESTALE);
	share_rig_forget(&rig, f, 1);
	share_rig_forget(&rig, FUSE_ROOT_ID, UINT64_MAX);
	CHECK_INT(share_rig_lookup(&rig, FUSE_ROOT_ID, "f", &entry), 0);
	CHECK(entry.nodeid != f);
}

struct swapper {
	int root;
	atomic_bool stop;
};

/* A hostile process of the host's user: `d` is now the directory, now a link out of the share. */
static void *swap_directories(void *context)
{
	struct swapper *swapper = context;

	while (!atomic_load(&swapper->stop)) {
		(void)renameat2(swapper->root, "d", swapper->root, "trap", RENAME_EXCHANGE);
		(void)renameat2(swapper->root, "f", swapper->root, "bait", RENAME_EXCHANGE);
	}
	return NULL;
}

static void a_host_that_swaps_directories_for_links_opens_no_way_out(void)
{
	auto_share_rig struct share_rig rig;
	struct swapper swapper = {.stop = false};
	pthread_t thread;
	unsigned reached = 0;

	share_rig_init(&rig);
	swapper.root = rig.config.root;
	share_rig_host_mkdir(&rig, "d");
	share_rig_host_put(&rig, "d/secret", "public");
	share_rig_host_put(&rig, "f", "public");
	CHECK_INT(symlinkat("../outside", rig.config.root, "trap"), 0);
	CHECK_INT(symlinkat("../outside/secret", rig.config.root, "bait"), 0);
	CHECK_INT(pthread_create(&thread, NULL, swap_directories, &swapper), 0);
	for (int i = 0; i < 20000; i++) {
		char bytes[256] = {0};
		struct fuse_entry_out entry;

		static const char *const paths[] = {"d/secret", "f"};
		uint64_t node = share_rig_node(&rig, paths[i % 2]);

		if (node && share_rig_read(&rig, node, 0, bytes) > 0) {
			CHECK_STR(bytes, "public");
			reached++;
		}
		node = share_rig_node(&rig, "d");
		if (node && share_rig_lookup(&rig, node, "planted", &entry) == -ENOENT)
			(void)share_rig_make(&rig, node, "planted", FILE_MODE, NULL);
		if (node)
			(void)share_rig_remove(&rig, FUSE_UNLINK, node, "planted");
	}
	atomic_store(&swapper.stop, true);
	(void)pthread_join(thread, NULL);
	CHECK(reached > 0);
	CHECK(!share_rig_host_has(&rig, "../outside/planted"));
	CHECK(share_rig_host_has(&rig, "../outside/secret"));
}

static void a_directory_moved_out_of_the_share_is_out_of_reach(void)
{
	auto_share_rig struct share_rig rig;
	struct fuse_entry_out entry;

	share_rig_init(&rig);
	share_rig_host_mkdir(&rig, "d");
	share_rig_host_put(&rig, "d/f", "1");
	uint64_t d = share_rig_node(&rig, "d");
	CHECK_INT(share_rig_lookup(&rig, d, "f", &entry), 0);
	CHECK_INT(renameat(rig.config.root, "d", rig.dir.fd, "moved"), 0);
	CHECK_INT(share_rig_lookup(&rig, d, "f", &entry), -ESTALE);
	CHECK_INT(share_rig_make(&rig, d, "g", FILE_MODE, NULL), -ESTALE);
}

/* It could get a name in the one that hides things in the other, which does not learn of it. */
static void the_root_of_a_share_in_another_one_keeps_its_name(void)
{
	auto_share_rig struct share_rig rig;
	struct share_config config;
	struct share *inner;
	struct err err = ERR_INIT;
	uint64_t sub;
	uint64_t other;

	share_rig_init(&rig);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "sub", DIR_MODE, &sub), 0);
	CHECK_INT(share_rig_make(&rig, FUSE_ROOT_ID, "other", DIR_MODE, &other), 0);
	config = rig.config;
	config.root = openat(rig.config.root, "sub", O_RDONLY | O_DIRECTORY);
	config.root_name = "sub";
	config.hidden = -1;
	inner = share_new(&config, &err);
	CHECK(inner != NULL);
	CHECK_INT(share_protect_root(rig.share, inner, &err), 0);
	CHECK_INT(share_rig_rename(&rig, FUSE_ROOT_ID, "sub", other, ".devbox", 0), -EACCES);
	CHECK_INT(share_rig_rename(&rig, FUSE_ROOT_ID, "other", FUSE_ROOT_ID, "sub",
				   FUSE_RENAME_EXCHANGE),
		  -EACCES);
	CHECK_INT(share_rig_rename(&rig, FUSE_ROOT_ID, "other", FUSE_ROOT_ID, "sub", 0), -EACCES);
	CHECK_INT(share_rig_remove(&rig, FUSE_RMDIR, FUSE_ROOT_ID, "sub"), -EACCES);
	CHECK_INT(share_rig_make(&rig, sub, "f", FILE_MODE, NULL), 0);
	share_free(inner);
	(void)close(config.root);
}

TEST_MAIN(TEST(every_spelling_of_the_reserved_names_is_known),
	  TEST(the_machines_directory_is_neither_seen_nor_made),
	  TEST(no_rename_makes_the_machines_directory_appear),
	  TEST(a_directory_that_the_host_calls_devbox_hides_it_at_once),
	  TEST(the_projects_devbox_is_always_there_and_always_empty),
	  TEST(a_data_directory_elsewhere_is_hidden_by_identity),
	  TEST(names_that_are_paths_are_refused), TEST(links_are_never_followed_by_the_host),
	  TEST(ids_that_nobody_was_given_are_stale),
	  TEST(a_host_that_swaps_directories_for_links_opens_no_way_out),
	  TEST(a_directory_moved_out_of_the_share_is_out_of_reach),
	  TEST(the_root_of_a_share_in_another_one_keeps_its_name))
