#include "agent/accounts.h"

#include "agent/user.h"
#include "base/mem.h"
#include "unit/test.h"

static const struct account dev = {
    .name = "dev", .uid = 1000, .gid = 1000, .home = "/home/dev", .shell = "/bin/bash"};

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
			     "# a line nobody understands\n"
			     "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n";

static void the_user_is_added_once(void)
{
	auto_free char *once = accounts_passwd(passwd, &dev);
	auto_free char *twice = accounts_passwd(once, &dev);
	auto_free char *should_be = xasprintf("%sdev:x:1000:1000::/home/dev:/bin/bash\n", passwd);

	CHECK_STR(once, should_be);
	CHECK_STR(twice, should_be);
}

static void a_file_without_last_newline_is_completed(void)
{
	auto_free char *text = accounts_passwd("root:x:0:0::/root:/bin/sh", &dev);

	CHECK_STR(text, "root:x:0:0::/root:/bin/sh\ndev:x:1000:1000::/home/dev:/bin/bash\n");
}

static void an_account_of_that_name_keeps_shell_and_home_and_gets_the_ids(void)
{
	auto_free char *text = accounts_passwd(
	    "dev:x:1234:99:Some One:/data/dev:/bin/zsh\nz:x:5:5::/:/bin/sh\n", &dev);

	CHECK_STR(text, "dev:x:1000:1000:Some One:/data/dev:/bin/zsh\nz:x:5:5::/:/bin/sh\n");
}

static void the_account_goes_in_front_of_another_with_its_uid(void)
{
	auto_free char *once =
	    accounts_passwd("a:x:1:1::/:/bin/sh\nold:x:1000:1::/:/bin/sh\n", &dev);
	auto_free char *twice = accounts_passwd(once, &dev);

	CHECK_STR(once, "a:x:1:1::/:/bin/sh\ndev:x:1000:1000::/home/dev:/bin/bash\n"
			"old:x:1000:1::/:/bin/sh\n");
	CHECK_STR(twice, once);
}

static void a_doubled_account_becomes_one(void)
{
	auto_free char *text =
	    accounts_passwd("dev:x:1:1::/h:/bin/sh\nb:x:2:2::/:/s\ndev:x:3:3::/h:/bin/sh\n", &dev);

	CHECK_STR(text, "dev:x:1000:1000::/h:/bin/sh\nb:x:2:2::/:/s\n");
}

static void a_gid_that_has_a_name_keeps_it(void)
{
	static const struct account mac = {.name = "dev", .uid = 501, .gid = 20};
	auto_free char *text = accounts_group("root:x:0:\ndialout:x:20:x,y\n", &mac);

	CHECK_STR(text, "root:x:0:\ndialout:x:20:x,y\n");
}

static void a_group_is_made_and_never_doubles_a_name(void)
{
	auto_free char *plain = accounts_group("root:x:0:\n", &dev);
	auto_free char *again = accounts_group(plain, &dev);
	auto_free char *taken = accounts_group("dev:x:7:\n", &dev);

	CHECK_STR(plain, "root:x:0:\ndev:x:1000:\n");
	CHECK_STR(again, plain);
	CHECK_STR(taken, "dev:x:7:\ndxvm-1000:x:1000:\n");
}

static void the_user_has_no_password_and_an_existing_one_stays(void)
{
	auto_free char *fresh = accounts_shadow("root:*:::::::\ndevil:$y$1:::::::\n", &dev);
	auto_free char *set = accounts_shadow("dev:$y$secret:1::::::\n", &dev);

	CHECK_STR(fresh, "root:*:::::::\ndevil:$y$1:::::::\ndev:*:::::::\n");
	CHECK_STR(set, "dev:$y$secret:1::::::\n");
}

static void names_that_would_break_the_files_are_refused(void)
{
	static const char *const bad[] = {
	    "",	  "a:b", "a\nb", "-x",		 "Big",
	    "1a", "a b", "a/b",	 "toor\xc3\xa9", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

	CHECK(accounts_name_will_do("dev"));
	CHECK(accounts_name_will_do("_a-1"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(!accounts_name_will_do(bad[i]));
}

static void a_user_is_found_with_all_groups(void)
{
	auto_user struct user user = {.name = NULL};
	struct err err = ERR_INIT;

	CHECK(user_find("bad:x:y:z::/:/s\ndev:x:7:8:g:/home/dev:/bin/zsh\n",
			"a:x:1:dev\nb:x:2:devil,x\nbroken\nc:x:3:x,dev,y\nd:x:8:dev\n", "dev",
			&user, &err) == 0);
	CHECK_INT(user.uid, 7);
	CHECK_STR(user.home, "/home/dev");
	CHECK_STR(user.shell, "/bin/zsh");
	CHECK_INT(user.group_count, 3);
	CHECK_INT(user.groups[0], 8);
	CHECK_INT(user.groups[1], 1);
	CHECK_INT(user.groups[2], 3);
}

static void a_user_without_home_and_shell_gets_usable_ones(void)
{
	auto_user struct user user = {.name = NULL};
	struct err err = ERR_INIT;

	CHECK(user_find("dev:x:7:8:::\n", "", "dev", &user, &err) == 0);
	CHECK_STR(user.home, "/");
	CHECK_STR(user.shell, "/bin/sh");
}

static void a_missing_user_is_named(void)
{
	struct user user;
	struct err err = ERR_INIT;

	CHECK(user_find("dev:x:-1:8:::\ndev:x:4294967295:8:::\n", "", "dev", &user, &err) < 0);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK(strstr(err.text, "dev"));
}

TEST_MAIN(TEST(the_user_is_added_once), TEST(a_file_without_last_newline_is_completed),
	  TEST(an_account_of_that_name_keeps_shell_and_home_and_gets_the_ids),
	  TEST(the_account_goes_in_front_of_another_with_its_uid),
	  TEST(a_doubled_account_becomes_one), TEST(a_gid_that_has_a_name_keeps_it),
	  TEST(a_group_is_made_and_never_doubles_a_name),
	  TEST(the_user_has_no_password_and_an_existing_one_stays),
	  TEST(names_that_would_break_the_files_are_refused), TEST(a_user_is_found_with_all_groups),
	  TEST(a_user_without_home_and_shell_gets_usable_ones), TEST(a_missing_user_is_named))
