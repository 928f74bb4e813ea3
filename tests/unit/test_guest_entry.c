/* What a hostile guest may write into boot/, to be booted by the host. */
#include "base/mem.h"
#include "guest/entry.h"
#include "unit/temp_dir.h"
#include "unit/test.h"

#include <unistd.h>

static void put_entry(const struct temp_dir *dir, const char *name, const char *cmdline)
{
	auto_free char *kernel = xasprintf("%s/kernel", name);
	auto_free char *initrd = xasprintf("%s/initrd", name);
	auto_free char *text = xasprintf("%s/cmdline", name);

	(void)mkdirat(dir->fd, name, 0700);
	temp_dir_put_text(dir, kernel, "KERNEL");
	temp_dir_put_text(dir, initrd, "INITRD");
	temp_dir_put_text(dir, text, cmdline);
}

/* The command line of what would be booted, or why nothing would; until the next call. */
static const char *boots(const struct temp_dir *dir, bool previous)
{
	static char text[4096];
	struct guest_entry entry;
	struct err err = ERR_INIT;

	if (guest_entry_open(dir->fd, previous, &entry, &err) < 0) {
		(void)snprintf(text, sizeof(text), "%s", err.text);
		return text;
	}
	(void)snprintf(text, sizeof(text), "%s", entry.cmdline);
	(void)close(entry.kernel_fd);
	(void)close(entry.initrd_fd);
	free(entry.cmdline);
	return text;
}

static void check_says(const struct temp_dir *dir, const char *words)
{
	const char *text = boots(dir, false);

	if (!strstr(text, words))
		printf("# \"%s\" does not say \"%s\"\n", text, words);
	CHECK(strstr(text, words) != NULL);
}

static void the_present_system_is_booted_and_the_one_before_on_request(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();

	check_says(&dir, "there is nothing to boot");
	put_entry(&dir, "current", "init=/a quiet\n");
	CHECK_STR(boots(&dir, false), "init=/a quiet");
	CHECK(strstr(boots(&dir, true), "no system before the present one") != NULL);
	put_entry(&dir, "previous", "init=/b");
	CHECK_STR(boots(&dir, true), "init=/b");
}

static void an_interrupted_change_leaves_something_to_boot(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();

	put_entry(&dir, "previous", "init=/old");
	CHECK_STR(boots(&dir, false), "init=/old");
	put_entry(&dir, "new", "init=/new");
	CHECK_STR(boots(&dir, false), "init=/new");
	put_entry(&dir, "current", "init=/now");
	CHECK_STR(boots(&dir, false), "init=/now");
}

static void links_are_not_followed(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();

	CHECK_INT(symlinkat("/", dir.fd, "current"), 0);
	check_says(&dir, "boot/current");
	(void)unlinkat(dir.fd, "current", 0);
	put_entry(&dir, "current", "x");
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"current/kernel", "current/initrd",
						    "current/cmdline"};

		(void)unlinkat(dir.fd, names[i], 0);
		CHECK_INT(symlinkat("/etc/passwd", dir.fd, names[i]), 0);
		check_says(&dir, "is a symbolic link, which is not followed");
		(void)unlinkat(dir.fd, names[i], 0);
		temp_dir_put_text(&dir, names[i], "x");
	}
}

static void fifos_are_not_waited_for(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();

	put_entry(&dir, "current", "x");
	(void)unlinkat(dir.fd, "current/cmdline", 0);
	CHECK_INT(mkfifoat(dir.fd, "current/cmdline", 0600), 0);
	check_says(&dir, "boot/current/cmdline is not a regular file");
	(void)unlinkat(dir.fd, "current/kernel", 0);
	CHECK_INT(mkdirat(dir.fd, "current/kernel", 0700), 0);
	check_says(&dir, "boot/current/kernel is not a regular file");
}

static void sizes_are_bounded(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	auto_free char *text = xcalloc(1, 5000);

	put_entry(&dir, "current", "x");
	auto_close int fd = openat(dir.fd, "current/kernel", O_WRONLY | O_CLOEXEC);
	CHECK_INT(ftruncate(fd, (off_t)100 << 30), 0);
	check_says(&dir, "boot/current/kernel has 107374182400 bytes");
	CHECK_INT(ftruncate(fd, 0), 0);
	check_says(&dir, "boot/current/kernel has 0 bytes");
	memset(text, 'a', 4999);
	put_entry(&dir, "current", text);
	check_says(&dir, "boot/current/cmdline has 4999 bytes");
}

static void a_command_line_is_one_line_of_printable_characters(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();

	put_entry(&dir, "current", "quiet\ninit=/evil");
	check_says(&dir, "byte 6 is 0x0a");
	put_entry(&dir, "current", "quiet\033[2J");
	check_says(&dir, "byte 6 is 0x1b");
	put_entry(&dir, "current", "init=/\303\244");
	check_says(&dir, "byte 7 is 0xc3");
	put_entry(&dir, "current", "");
	check_says(&dir, "has 0 bytes");
	temp_dir_put(&dir, "current/cmdline", "a\0b", 3);
	check_says(&dir, "holds a NUL");
}

TEST_MAIN(TEST(the_present_system_is_booted_and_the_one_before_on_request),
	  TEST(an_interrupted_change_leaves_something_to_boot), TEST(links_are_not_followed),
	  TEST(fifos_are_not_waited_for), TEST(sizes_are_bounded),
	  TEST(a_command_line_is_one_line_of_printable_characters))
