#include "base/mem.h"
#include "base/path.h"
#include "unit/test.h"

#include <pwd.h>
#include <sys/stat.h>

static void join_puts_exactly_one_slash(void)
{
	static const char *const cases[][3] = {
	    {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *joined = path_join(cases[i][0], cases[i][1]);

		CHECK_STR(joined, cases[i][2]);
	}
}

static void base_is_the_last_component(void)
{
	CHECK_STR(path_base("/a/b.c"), "b.c");
	CHECK_STR(path_base("b"), "b");
	CHECK_STR(path_base("/"), "/");
}

static void state_dir_follows_xdg_then_home_then_the_user_database(void)
{
	struct err err = ERR_INIT;
	const struct passwd *pw = getpwuid(getuid());

	(void)setenv("XDG_STATE_HOME", "/state", 1);
	(void)setenv("HOME", "/home/x", 1);
	auto_free char *xdg = path_state_dir(&err);
	CHECK_STR(xdg, "/state/devbox/vm");
	/* The specification says that a relative value is to be ignored. */
	(void)setenv("XDG_STATE_HOME", "state", 1);
	auto_free char *relative = path_state_dir(&err);
	CHECK_STR(relative, "/home/x/.local/state/devbox/vm");
	(void)unsetenv("XDG_STATE_HOME");
	(void)setenv("HOME", "relative", 1);
	auto_free char *database = path_home();
	if (pw)
		CHECK_STR(database, pw->pw_dir);
	CHECK_INT(err.code, ERR_NONE);
}

static void runtime_dir_leaves_room_for_a_socket_name(void)
{
	char deep[256];

	(void)setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	auto_free char *normal = path_runtime_dir();
	CHECK_STR(normal, "/run/user/7/dxvm");
	memset(deep, 'd', sizeof(deep));
	deep[0] = '/';
	deep[sizeof(deep) - 1] = '\0';
	(void)setenv("XDG_RUNTIME_DIR", deep, 1);
	auto_free char *fallback = path_runtime_dir();
	auto_free char *own = xasprintf("/tmp/dxvm-%lu", (unsigned long)getuid());
	CHECK_STR(fallback, own);
	/* Any accepted value fits into the smallest sun_path, 104 bytes with its NUL on macOS. */
	for (size_t length = 1; length < sizeof(deep); length++) {
		deep[length] = '\0';
		(void)setenv("XDG_RUNTIME_DIR", deep, 1);
		auto_free char *dir = path_runtime_dir();
		CHECK(strlen(dir) + strlen("/0123456789abcdef.sock") < 104);
		deep[length] = 'd';
	}
}

static void self_is_this_program(void)
{
	struct err err = ERR_INIT;
	auto_free char *self = path_self(&err);

	CHECK_STR(self ? path_base(self) : NULL, "test_path");
}

static void what_runs_can_be_run_again_whatever_is_installed_meanwhile(void)
{
	struct err err = ERR_INIT;
	auto_free char *self = path_self(&err);
	auto_free char *running = path_running(&err);
	struct stat ours;
	struct stat theirs;

	CHECK_INT(stat(self, &ours), 0);
	CHECK_INT(stat(running, &theirs), 0);
	CHECK(ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino);
#ifdef __linux__
	CHECK(strcmp(self, running) != 0); /* another program may have that name by now */
#endif
}

static void a_program_is_found_where_the_override_says(void)
{
	struct err err = ERR_INIT;

	(void)setenv("DXVM_LIBEXEC", "/opt/x", 1);
	auto_free char *found = path_program("agent", "dxvm-agent", &err);
	CHECK_STR(found, "/opt/x/dxvm-agent");
}

static void a_missing_program_is_an_error_that_names_every_place(void)
{
	struct err err = ERR_INIT;

	(void)unsetenv("DXVM_LIBEXEC");
	auto_free char *found = path_program("agent", "dxvm-no-such", &err);
	CHECK(found == NULL);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK(strstr(err.text, "/src/agent/dxvm-no-such") != NULL);
	CHECK(strstr(err.text, "/../libexec/dxvm/dxvm-no-such") != NULL);
}

TEST_MAIN(TEST(join_puts_exactly_one_slash), TEST(base_is_the_last_component),
	  TEST(state_dir_follows_xdg_then_home_then_the_user_database),
	  TEST(runtime_dir_leaves_room_for_a_socket_name), TEST(self_is_this_program),
	  TEST(what_runs_can_be_run_again_whatever_is_installed_meanwhile),
	  TEST(a_program_is_found_where_the_override_says),
	  TEST(a_missing_program_is_an_error_that_names_every_place))
