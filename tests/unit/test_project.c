#include "project/data_dir.h"
#include "project/identity.h"
#include "project/live.h"
#include "project/project.h"
#include "unit/temp_dir.h"
#include "unit/test.h"

#include "base/mem.h"

/* Stands in `sub` of a fresh directory; the current directory is the test's to change. */
static struct temp_dir stand_in(const char *sub)
{
	struct temp_dir dir = temp_dir_make();

	(void)unsetenv("DEVBOX_CONFIG");
	if (mkdirat(dir.fd, sub, 0755) < 0 || fchdir(dir.fd) < 0 || chdir(sub) < 0)
		abort();
	return dir;
}

static void the_nearest_parent_with_a_devbox_json_is_the_project(void)
{
	auto_temp_dir struct temp_dir dir = stand_in("sub");
	auto_project struct project project = {0};
	struct err err = ERR_INIT;

	temp_dir_put_text(&dir, "devbox.json", "not even JSON");
	CHECK_INT(mkdirat(dir.fd, "sub/devbox.json", 0755), 0);
	CHECK_INT(project_find(NULL, NULL, &project, &err), 0);
	CHECK_STR(project.root, dir.path);
	CHECK_STR(project.name, dir.path + strlen("/tmp/"));
	auto_free char *data = xasprintf("%s/.devbox/vm", dir.path);
	CHECK_STR(project.data_dir, data);
}

static void a_named_configuration_ends_the_search(void)
{
	auto_temp_dir struct temp_dir dir = stand_in("other");
	struct project project = {0};
	struct err err = ERR_INIT;

	temp_dir_put_text(&dir, "devbox.json", "{}");
	auto_free char *file = xasprintf("%s/devbox.json", dir.path);
	CHECK_INT(chdir("/"), 0);
	CHECK_INT(project_find(file, NULL, &project, &err), 0);
	CHECK_STR(project.root, dir.path);
	project_done(&project);
	CHECK_INT(project_find(dir.path, "/elsewhere", &project, &err), 0);
	CHECK_STR(project.data_dir, "/elsewhere");
	project_done(&project);
	CHECK_INT(setenv("DEVBOX_CONFIG", dir.path, 1), 0);
	CHECK_INT(project_find(NULL, NULL, &project, &err), 0);
	CHECK_STR(project.root, dir.path);
	project_done(&project);
	auto_free char *missing = xasprintf("%s/other", dir.path);
	CHECK_INT(setenv("DEVBOX_CONFIG", missing, 1), 0);
	CHECK_INT(project_find(NULL, NULL, &project, &err), -1);
	CHECK(strncmp(err.text, "DEVBOX_CONFIG: ", strlen("DEVBOX_CONFIG: ")) == 0);
	err = (struct err)ERR_INIT;
	(void)unsetenv("DEVBOX_CONFIG");
	CHECK_INT(project_find(missing, NULL, &project, &err), -1);
	CHECK_INT(err.code, ERR_NOT_FOUND);
}

static int find_shared(struct project *ret_project, struct err *err)
{
	return project_find(NULL, NULL, ret_project, err) < 0 ? -1
							      : project_check(ret_project, err);
}

static void home_and_root_are_not_shared(void)
{
	auto_temp_dir struct temp_dir dir = stand_in("x");
	auto_project struct project project = {0};
	struct err err = ERR_INIT;

	temp_dir_put_text(&dir, "devbox.json", "{}");
	CHECK_INT(setenv("HOME", dir.path, 1), 0);
	CHECK_INT(find_shared(&project, &err), -1);
	CHECK(strstr(err.text, "home directory") != NULL);
	CHECK_INT(err.code, ERR_INVALID);
}

/* Where a devbox.json in a directory of theirs would lead to. */
static void check_refused_with(const char *home, const char *state, const char *words)
{
	auto_project struct project project = {0};
	struct err err = ERR_INIT;

	CHECK_INT(setenv("HOME", home, 1), 0);
	CHECK_INT(setenv("XDG_STATE_HOME", state, 1), 0);
	CHECK_INT(find_shared(&project, &err), -1);
	CHECK_INT(err.code, ERR_INVALID);
	CHECK(strstr(err.text, words) != NULL);
	(void)unsetenv("XDG_STATE_HOME");
}

static void what_holds_a_home_or_the_files_of_vms_is_not_shared(void)
{
	auto_temp_dir struct temp_dir dir = stand_in("home");
	auto_temp_dir struct temp_dir other = temp_dir_make();
	auto_free char *home = xasprintf("%s/home", dir.path);
	auto_free char *beside = xasprintf("%s/hom", dir.path);
	auto_free char *state = xasprintf("%s/devbox/vm", dir.path);
	auto_free char *inside = xasprintf("%s/p", state);
	auto_project struct project project = {0};
	struct err err = ERR_INIT;

	temp_dir_put_text(&dir, "devbox.json", "{}");
	CHECK_INT(mkdirat(dir.fd, "devbox", 0755), 0);
	CHECK_INT(mkdirat(dir.fd, "devbox/vm", 0755), 0);
	CHECK_INT(mkdirat(dir.fd, "devbox/vm/p", 0755), 0);
	temp_dir_put_text(&dir, "devbox/vm/p/devbox.json", "{}");
	check_refused_with(home, other.path, "which is or holds your home directory");
	check_refused_with(other.path, dir.path, "the files that VMs are made of");
	CHECK_INT(chdir(inside), 0);
	check_refused_with(other.path, dir.path, "the files that VMs are made of");
	/* Also when they are not there yet, and what holds the sockets. */
	CHECK_INT(chdir(dir.path), 0);
	check_refused_with(other.path, home, "the files that VMs are made of");
	CHECK_INT(setenv("XDG_RUNTIME_DIR", dir.path, 1), 0);
	check_refused_with(other.path, other.path, "the files that VMs are made of");
	(void)unsetenv("XDG_RUNTIME_DIR");
	/* A name that begins the same. */
	CHECK_INT(mkdir(beside, 0755), 0);
	temp_dir_put_text(&dir, "hom/devbox.json", "{}");
	CHECK_INT(chdir(beside), 0);
	CHECK_INT(setenv("HOME", home, 1), 0);
	CHECK_INT(find_shared(&project, &err), 0);
}

static void the_data_directory_is_made_once_and_hidden_from_git(void)
{
	auto_temp_dir struct temp_dir dir = stand_in("x");
	auto_project struct project project = {0};
	auto_close int fd = -1;
	auto_close int again = -1;
	struct err err = ERR_INIT;
	struct stat st;

	temp_dir_put_text(&dir, "devbox.json", "{}");
	CHECK_INT(project_find(NULL, NULL, &project, &err), 0);
	CHECK_INT(data_dir_open(&project, &fd, NULL, &err), -1);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK_INT(data_dir_make(&project, &fd, &err), 0);
	CHECK_INT(fstat(fd, &st), 0);
	CHECK_INT(st.st_mode & 0777, 0700);
	CHECK_INT(fstatat(dir.fd, ".devbox/.gitignore", &st, 0), 0);
	CHECK_INT(fstatat(dir.fd, ".devbox/CACHEDIR.TAG", &st, 0), 0);
	CHECK_INT(data_dir_make(&project, &again, &err), 0);
}

static void a_linked_data_directory_is_refused(void)
{
	auto_temp_dir struct temp_dir dir = stand_in("x");
	auto_project struct project project = {0};
	auto_close int fd = -1;
	struct err err = ERR_INIT;

	temp_dir_put_text(&dir, "devbox.json", "{}");
	CHECK_INT(project_find(NULL, NULL, &project, &err), 0);
	CHECK_INT(symlinkat("x", dir.fd, ".devbox"), 0);
	CHECK_INT(data_dir_make(&project, &fd, &err), -1);
}

static void an_identity_is_made_once_and_checked(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct identity first;
	struct identity second;
	struct err err = ERR_INIT;

	CHECK_INT(identity_load(dir.fd, &first, &err), 0);
	CHECK_INT(identity_load(dir.fd, &second, &err), 0);
	CHECK_STR(first.hex, second.hex);
	CHECK_INT(strlen(first.hex), 32);
	CHECK_INT(first.mac[0] & 3, 2);
	temp_dir_put_text(&dir, "id", "0123\n");
	CHECK_INT(identity_load(dir.fd, &second, &err), -1);
	CHECK_STR(err.text,
		  "id: line 1: not 32 hexadecimal digits; remove the file to get a new identity");
}

static void one_supervisor_at_a_time_and_its_address_is_read(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	auto_live struct live live = {0};
	auto_close int lock = -1;
	auto_close int second = -1;
	struct err err = ERR_INIT;

	CHECK_INT(live_take(dir.fd, &lock, &err), 0);
	CHECK_INT(live_take(dir.fd, &second, &err), -1);
	CHECK_INT(err.code, ERR_BUSY);
	CHECK_INT(live_write(lock, "/run/x.sock", &err), 0);
	CHECK_INT(live_read(dir.fd, &live, &err), 0);
	CHECK_STR(live.socket, "/run/x.sock");
	CHECK_INT(live.pid, getpid());
	(void)close(take_fd(&lock));
	CHECK_INT(live_take(dir.fd, &second, &err), 0);
}

TEST_MAIN(TEST(the_nearest_parent_with_a_devbox_json_is_the_project),
	  TEST(a_named_configuration_ends_the_search), TEST(home_and_root_are_not_shared),
	  TEST(what_holds_a_home_or_the_files_of_vms_is_not_shared),
	  TEST(the_data_directory_is_made_once_and_hidden_from_git),
	  TEST(a_linked_data_directory_is_refused), TEST(an_identity_is_made_once_and_checked),
	  TEST(one_supervisor_at_a_time_and_its_address_is_read))
