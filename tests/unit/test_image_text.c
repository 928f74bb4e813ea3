/* The small texts that dxvm-image reads and writes. */
#include "base/mem.h"
#include "image/debian_progress.h"
#include "image/jail.h"
#include "image/package_list.h"
#include "image/progress.h"
#include "unit/test.h"

#include <stdlib.h>
#include <unistd.h>

struct capture {
	FILE *file;
	int saved;
};

static struct capture capture_start(void)
{
	struct capture c = {.file = tmpfile(), .saved = dup(1)};

	(void)fflush(stdout);
	if (!c.file || dup2(fileno(c.file), 1) < 0)
		abort();
	return c;
}

static char *capture_end(struct capture *c)
{
	char *text = xcalloc(1, 4096);

	(void)fflush(stdout);
	(void)dup2(c->saved, 1);
	(void)close(c->saved);
	if (pread(fileno(c->file), text, 4095, 0) < 0)
		abort();
	(void)fclose(c->file);
	return text;
}

static void a_line_of_progress_stays_one_line(void)
{
	struct capture c = capture_start();

	progress_stage("fetching %s", "a\nb\033[2J");
	progress_note("n");
	progress_count(0, 7);
	progress_count(7, 7);
	progress_error("bad");
	progress_done();
	auto_free char *text = capture_end(&c);
	CHECK_STR(text, "stage fetching a\\nb\\x1b[2J\nnote n\nprogress 0 7\nprogress 7 7\n"
			"error bad\ndone\n");
}

static void what_dpkg_does_is_counted_against_what_apt_announced(void)
{
	struct debian_progress progress = {0};
	struct capture c = capture_start();

	debian_progress_line(&progress, true, "I: installing remaining packages inside the chroot");
	debian_progress_line(&progress, true, "Unpacking too early (1) ...");
	debian_progress_line(&progress, true,
			     "0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.");
	debian_progress_line(&progress, true, "Get:1 http://mirror.example/debian tree [1 kB]");
	debian_progress_line(&progress, true, "Unpacking tree (2.1.0-1) ...");
	debian_progress_line(&progress, true, "Setting up tree (2.1.0-1) ...");
	debian_progress_line(&progress, true, "Setting up one too many (1) ...");
	debian_progress_line(&progress, true, "stage is said on standard output only");
	debian_progress_line(&progress, false, "stage making the disk image");
	auto_free char *text = capture_end(&c);
	CHECK(strstr(text, "stage installing packages\n") == text);
	CHECK(strstr(text, "progress 3 3\nstage making the disk image\n") != NULL);
	CHECK(strstr(text, "progress 4") == NULL);
	CHECK(strstr(text, "only") == NULL);
}

static void a_package_list_loses_comments_and_blank_lines(void)
{
	auto_free char *list = package_list_join("# all\n\nbash\ngit # why\n  \nnix-bin");
	auto_free char *none = package_list_join("# nothing\n");

	CHECK_STR(list, "bash,git,nix-bin");
	CHECK_STR(none, "");
}

static void a_range_of_subordinate_ids_is_found_by_name_or_number(void)
{
	static const char text[] = "# comment\nann:100000:65536\n1002:165536:65536\n"
				   "tom:231072:1000\nbroken:x:y\n";

	CHECK(jail_has_range(text, "ann", 1001));
	CHECK(jail_has_range(text, "bob", 1002));
	CHECK(!jail_has_range(text, "tom", 1003)); /* too few */
	CHECK(!jail_has_range(text, "an", 1));
	CHECK(!jail_has_range("", "ann", 1001));
}

static void a_suggested_range_touches_no_other(void)
{
	CHECK_INT(jail_free_range("", ""), 100000);
	CHECK_INT(jail_free_range("ann:100000:65536\n", "ann:100000:65536\nb:165536:10\n"), 165546);
	CHECK_INT(jail_free_range("a:1:10\n", "x:99999999999:99999999999\n"), 100000);
}

TEST_MAIN(TEST(a_line_of_progress_stays_one_line),
	  TEST(what_dpkg_does_is_counted_against_what_apt_announced),
	  TEST(a_package_list_loses_comments_and_blank_lines),
	  TEST(a_range_of_subordinate_ids_is_found_by_name_or_number),
	  TEST(a_suggested_range_touches_no_other))
