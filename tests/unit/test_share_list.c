#include "base/mem.h"
#include "project/share_list.h"
#include "unit/temp_dir.h"
#include "unit/test.h"

#include <sys/stat.h>

/* A home, a project in it with its data directory, and directories beside them. */
struct place {
	struct temp_dir dir;
	int data_dir;
	struct project project;
};

/* The path in the test's folder, with whatever follows. */
static char *in(const struct place *place, const char *rest)
{
	return xasprintf("%s%s", place->dir.path, rest);
}

static void place_done(struct place *place)
{
	(void)close(place->data_dir);
	project_done(&place->project);
	temp_dir_done(&place->dir);
}
#define auto_place CLEANUP(place_done)

static struct place place_make(void)
{
	static const char *const directories[] = {
	    "home", "home/project", "home/project/vm", "home/state",   "home/state/devbox",
	    "run",  "run/dxvm",	    "further",	       "further/deep", "home/data"};
	struct place place = {.dir = temp_dir_make()};

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		CHECK_INT(mkdirat(place.dir.fd, directories[i], 0700), 0);
	temp_dir_put_text(&place.dir, "home/project/devbox.json", "{}");
	auto_free char *home = in(&place, "/home");
	auto_free char *state = in(&place, "/home/state");
	auto_free char *run = in(&place, "/run");
	auto_free char *root = in(&place, "/home/project");
	auto_free char *data = in(&place, "/home/project/vm");
	CHECK_INT(setenv("HOME", home, 1), 0);
	CHECK_INT(setenv("XDG_STATE_HOME", state, 1), 0);
	CHECK_INT(setenv("XDG_RUNTIME_DIR", run, 1), 0);
	project_at(root, data, &place.project);
	place.data_dir = openat(place.dir.fd, "home/project/vm", O_RDONLY | O_DIRECTORY);
	return place;
}

static int add(const struct place *place, const char *rest, struct err *err)
{
	auto_free char *text = in(place, rest);

	return share_list_add(place->data_dir, &place->project, text, err);
}

static size_t count(const struct place *place)
{
	auto_share_list struct share_list list = {0};
	struct err err = ERR_INIT;

	CHECK_INT(share_list_load(place->data_dir, &place->project, &list, &err), 0);
	return list.count;
}

static void what_is_added_is_read_back_and_removed(void)
{
	auto_place struct place place = place_make();
	auto_share_list struct share_list list = {0};
	auto_free char *path = in(&place, "/further");
	struct err err = ERR_INIT;

	CHECK_INT(count(&place), 0);
	CHECK_INT(add(&place, "/further", &err), 0);
	CHECK_INT(add(&place, "/home/data:ro:/opt/data", &err), 0);
	CHECK_INT(share_list_load(place.data_dir, &place.project, &list, &err), 0);
	CHECK_INT(list.count, 2);
	CHECK_STR(list.entries[0].path, path);
	CHECK_STR(list.entries[0].guest_path, "~/devbox/further");
	CHECK(!list.entries[0].read_only && list.entries[1].read_only);
	CHECK_STR(list.entries[1].guest_path, "/opt/data");
	CHECK_INT(share_list_remove(place.data_dir, &place.project, path, &err), 0);
	CHECK_INT(count(&place), 1);
	CHECK_INT(share_list_remove(place.data_dir, &place.project, path, &err), -1);
	CHECK_INT(err.code, ERR_NOT_FOUND);
}

static void the_home_directory_may_be_a_tilde(void)
{
	auto_place struct place place = place_make();
	auto_share_list struct share_list list = {0};
	auto_free char *path = in(&place, "/home/data");
	struct err err = ERR_INIT;

	CHECK_INT(share_list_add(place.data_dir, &place.project, "~/data:ro", &err), 0);
	CHECK_INT(share_list_load(place.data_dir, &place.project, &list, &err), 0);
	CHECK_STR(list.entries[0].path, path);
	CHECK_INT(share_list_remove(place.data_dir, &place.project, "~/data", &err), 0);
	CHECK_INT(count(&place), 0);
}

static void one_that_is_there_is_replaced(void)
{
	auto_place struct place place = place_make();
	struct err err = ERR_INIT;

	CHECK_INT(add(&place, "/further", &err), 0);
	CHECK_INT(add(&place, "/further/../further:ro", &err), 0);
	CHECK_INT(count(&place), 1);
}

static void what_is_set_at_a_place_replaces_what_is_there(void)
{
	static const char guest_path[] = "/run/cache";
	auto_place struct place place = place_make();
	auto_share_list struct share_list list = {0};
	auto_free char *first = in(&place, "/further");
	auto_free char *second = in(&place, "/home/data");
	struct err err = ERR_INIT;

	CHECK_INT(add(&place, "/home/data", &err), 0);
	CHECK_INT(share_list_set(place.data_dir, &place.project, guest_path, first, &err), 0);
	CHECK_INT(count(&place), 2);
	CHECK_INT(share_list_set(place.data_dir, &place.project, guest_path, second, &err), 0);
	CHECK_INT(share_list_load(place.data_dir, &place.project, &list, &err), 0);
	CHECK_INT(list.count, 1);
	CHECK_STR(list.entries[0].path, second);
	CHECK_STR(list.entries[0].guest_path, guest_path);
	CHECK(list.entries[0].read_only);
	CHECK_INT(share_list_set(place.data_dir, &place.project, guest_path, "", &err), 0);
	CHECK_INT(share_list_set(place.data_dir, &place.project, guest_path, "", &err), 0);
	CHECK_INT(count(&place), 0);
	CHECK_INT(share_list_set(place.data_dir, &place.project, guest_path, "/a:b", &err), -1);
}

static void what_isolates_nothing_is_refused(void)
{
	static const char *const refused[] = {"/../..",
					      "/../../tmp/..",
					      "",
					      "/home",
					      "/home/",
					      "/home/project/..",
					      "/home/state",
					      "/home/state/devbox",
					      "/run",
					      "/run/dxvm",
					      "/home/project/vm"};
	auto_place struct place place = place_make();

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct err err = ERR_INIT;

		CHECK_INT(add(&place, refused[i], &err), -1);
		CHECK_INT(err.code, ERR_INVALID);
	}
	CHECK_INT(count(&place), 0);
}

static void places_in_the_guest_are_checked(void)
{
	static const char *const refused[] = {"/further:rw",
					      "/further:/data:ro",
					      "/further:/etc",
					      "/further:/home",
					      "/further:/proc/x",
					      "/further:ro:",
					      "/further:",
					      "/further:relative",
					      "/further:/",
					      "/further:/a/../b",
					      "/further:~",
					      "/further:~other/x",
					      "/further:~/devbox/project",
					      "/further:~/devbox/project/sub",
					      "/further:~/devbox"};
	auto_place struct place place = place_make();
	struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		CHECK_INT(add(&place, refused[i], &err), -1);
	CHECK_INT(add(&place, "/further:~/x", &err), 0);
	CHECK_INT(add(&place, "/home/data:~/x", &err), -1);
	CHECK_INT(add(&place, "/home/data:~/x/y", &err), -1);
	CHECK_INT(add(&place, "/home/data:~/xy", &err), 0);
	CHECK_INT(add(&place, "/home/data:/etc/xy", &err), 0);
}

static void what_is_no_directory_is_refused(void)
{
	auto_place struct place place = place_make();
	struct err err = ERR_INIT;

	CHECK_INT(add(&place, "/home/project/devbox.json", &err), -1);
	CHECK_INT(add(&place, "/missing", &err), -1);
	CHECK_INT(count(&place), 0);
}

static void a_file_edited_wrongly_is_an_error_with_its_line(void)
{
	static const char *const bad[] = {"relative", "/a/../b", "/a/",	  "//a",
					  "/a:rw",    "/",	 "/a\x1b"};
	auto_place struct place place = place_make();

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_share_list struct share_list list = {0};
		struct err err = ERR_INIT;
		char text[100];

		(void)snprintf(text, sizeof(text), "\n/fine\n%s\n", bad[i]);
		temp_dir_put_text(&place.dir, "home/project/vm/shares", text);
		CHECK_INT(share_list_load(place.data_dir, &place.project, &list, &err), -1);
		CHECK_INT(err.code, ERR_INVALID);
		CHECK(strstr(err.text, "shares: line 3"));
		CHECK_INT(list.count, 0);
	}
}

static void there_is_a_limit(void)
{
	auto_place struct place place = place_make();
	auto_share_list struct share_list list = {0};
	struct err err = ERR_INIT;
	char text[1000] = "";

	for (int i = 0; i <= SHARE_LIST_MAX; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "/s/%d\n", i);
	temp_dir_put_text(&place.dir, "home/project/vm/shares", text);
	CHECK_INT(share_list_load(place.data_dir, &place.project, &list, &err), -1);
	CHECK(strstr(err.text, "at most"));
}

/* The guest may write where the directory lies, if that is in another share. */
static void a_link_put_in_the_way_later_is_not_followed(void)
{
	auto_place struct place place = place_make();
	auto_share_list struct share_list list = {0};
	struct err err = ERR_INIT;
	int fd = -1;

	CHECK_INT(add(&place, "/further/deep", &err), 0);
	CHECK_INT(share_list_load(place.data_dir, &place.project, &list, &err), 0);
	CHECK_INT(share_entry_open(&list.entries[0], &fd, &err), 0);
	(void)close(fd);
	CHECK_INT(unlinkat(place.dir.fd, "further/deep", AT_REMOVEDIR), 0);
	CHECK_INT(symlinkat("/etc", place.dir.fd, "further/deep"), 0);
	CHECK_INT(share_entry_open(&list.entries[0], &fd, &err), -1);
	CHECK_INT(unlinkat(place.dir.fd, "further/deep", 0), 0);
	CHECK_INT(unlinkat(place.dir.fd, "further", AT_REMOVEDIR), 0);
	CHECK_INT(mkdirat(place.dir.fd, "home/data/deep", 0700), 0);
	CHECK_INT(symlinkat("home/data", place.dir.fd, "further"), 0);
	CHECK_INT(share_entry_open(&list.entries[0], &fd, &err), -1);
}

TEST_MAIN(TEST(what_is_added_is_read_back_and_removed), TEST(the_home_directory_may_be_a_tilde),
	  TEST(one_that_is_there_is_replaced), TEST(what_is_set_at_a_place_replaces_what_is_there),
	  TEST(what_isolates_nothing_is_refused), TEST(places_in_the_guest_are_checked),
	  TEST(what_is_no_directory_is_refused),
	  TEST(a_file_edited_wrongly_is_an_error_with_its_line), TEST(there_is_a_limit),
	  TEST(a_link_put_in_the_way_later_is_not_followed))
