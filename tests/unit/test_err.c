#include "base/err.h"
#include "unit/test.h"

#include <errno.h>

static int nested(struct err *err)
{
	errno = ENOSPC;
	(void)err_sys(err, "clone base image %s", "x.img");
	return err_wrap(err, "create root disk");
}

static void text_reads_outside_in_and_keeps_the_code(void)
{
	struct err err = ERR_INIT;

	CHECK_INT(nested(&err), -1);
	CHECK_STR(err.text,
		  "create root disk: clone base image x.img: No space left on device; make "
		  "room there and try again");
	CHECK_INT(err.code, ERR_SYSTEM);
	CHECK_INT(err.sys, ENOSPC);
	CHECK_INT(errno, ENOSPC);
}

static void set_replaces_what_was_there(void)
{
	struct err err = ERR_INIT;

	(void)nested(&err);
	CHECK_INT(err_set(&err, ERR_BUSY, "%d is taken", 7), -1);
	CHECK_STR(err.text, "7 is taken");
	CHECK_INT(err.code, ERR_BUSY);
	CHECK_INT(err.sys, 0);
}

static void a_long_context_never_pushes_the_reason_out(void)
{
	char path[4096];
	struct err err = ERR_INIT;

	memset(path, 'p', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	errno = EACCES;
	(void)err_sys(&err, "open %s", path);
	CHECK(strstr(err.text, "ppp...: Permission denied") != NULL);
	CHECK_INT(strlen(err.text), sizeof(err.text) - 1);
	for (int i = 0; i < 3; i++)
		(void)err_wrap(&err, "step %d with %s", i, path);
	CHECK(strncmp(err.text, "step 2 with ppp", strlen("step 2 with ppp")) == 0);
	CHECK(strlen(err.text) < sizeof(err.text));
}

static void a_short_context_around_a_full_text_is_kept_whole(void)
{
	char reason[600];
	struct err err = ERR_INIT;

	memset(reason, 'r', sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	(void)err_set(&err, ERR_GUEST, "%s", reason);
	(void)err_wrap(&err, "stop the VM");
	CHECK(strncmp(err.text, "stop the VM: rrr", strlen("stop the VM: rrr")) == 0);
	CHECK_INT(strlen(err.text), sizeof(err.text) - 1);
	CHECK_INT(err.code, ERR_GUEST);
}

static void the_code_says_the_exit_status(void)
{
	struct err err = ERR_INIT;

	(void)err_set(&err, ERR_USAGE, "x");
	CHECK_INT(err_exit_status(&err), 2);
	(void)err_set(&err, ERR_NOT_FOUND, "x");
	CHECK_INT(err_exit_status(&err), 125);
	(void)err_set(&err, ERR_CANCELLED, "x");
	CHECK_INT(err_exit_status(&err), 130);
}

TEST_MAIN(TEST(text_reads_outside_in_and_keeps_the_code), TEST(set_replaces_what_was_there),
	  TEST(a_long_context_never_pushes_the_reason_out),
	  TEST(a_short_context_around_a_full_text_is_kept_whole),
	  TEST(the_code_says_the_exit_status))
