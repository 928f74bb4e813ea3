/* Which devbox of this host's goes into guests. */
#include "project/tools.h"
#include "unit/temp_dir.h"
#include "unit/test.h"

#include "base/elf.h"
#include "base/file.h"
#include "base/mem.h"

#include <stdint.h>
#include <sys/utsname.h>

#define INTERPRETER 3

/* A program without any code: a header, and one segment of this type. `end` makes it another. */
static size_t make_elf(uint8_t *bytes, uint8_t segment, char end)
{
	static const uint8_t magic[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
	struct utsname us;

	CHECK_INT(uname(&us), 0);
	memset(bytes, 0, 128);
	memcpy(bytes, magic, sizeof(magic));
	bytes[16] = 2;
	bytes[18] = strcmp(us.machine, "x86_64") == 0 ? 62 : 183;
	bytes[32] = 64;
	bytes[54] = 56;
	bytes[56] = 1;
	bytes[64] = segment;
	bytes[127] = (uint8_t)end;
	return 128;
}

static void put_elf(const struct temp_dir *dir, const char *name, uint8_t segment, char end)
{
	uint8_t bytes[128];
	auto_free char *folder = xasprintf("%s/%s", dir->path, name);
	struct err err = ERR_INIT;

	*strrchr(folder, '/') = '\0';
	CHECK_INT(file_mkdirs(folder, 0755, &err), 0);
	temp_dir_put(dir, name, bytes, make_elf(bytes, segment, end));
}

/* Everything a search looks at lies in this directory. */
static struct temp_dir make_host(void)
{
	struct temp_dir dir = temp_dir_make();
	auto_free char *path = xasprintf("relative:%s/one:%s/two", dir.path, dir.path);

	CHECK_INT(setenv("XDG_STATE_HOME", dir.path, 1), 0);
	CHECK_INT(setenv("HOME", dir.path, 1), 0);
	CHECK_INT(setenv("PATH", path, 1), 0);
	(void)unsetenv("XDG_CACHE_HOME");
	(void)unsetenv("DEVBOX_USE_VERSION");
	(void)unsetenv("DXVM_DEVBOX");
	return dir;
}

/* The last byte of the program that guests have; 0: they have none. */
static char taken(bool *ret_there)
{
	auto_close int dir = -1;
	auto_free char *text = NULL;
	struct err err = ERR_INIT;
	size_t length = 0;

	CHECK_INT(tools_open(&dir, &err), 0);
	if (tools_take_devbox(dir, ret_there, &err) < 0 ||
	    file_read(dir, TOOLS_DEVBOX, 4096, &text, &length, &err) < 0 || length != 128)
		return 0;
	return text[127];
}

static char taken_from(void)
{
	bool there = false;
	char end = taken(&there);

	CHECK_INT(there, end != 0);
	return end;
}

static void the_first_static_one_in_path_is_copied_and_others_are_passed_over(void)
{
	auto_temp_dir struct temp_dir host = make_host();

	CHECK_INT(taken_from(), 0);
	put_elf(&host, "one/devbox", INTERPRETER, 'd');
	CHECK_INT(taken_from(), 0);
	temp_dir_put_text(&host, "one/devbox", "#!/bin/sh\nexec something\n");
	CHECK_INT(taken_from(), 0);
	put_elf(&host, "two/devbox", 1, 'b');
	CHECK_INT(taken_from(), 'b');
	put_elf(&host, "one/devbox", 1, 'a');
	CHECK_INT(taken_from(), 'a');
}

static void behind_a_launcher_is_what_it_has_downloaded(void)
{
	auto_temp_dir struct temp_dir host = make_host();
	auto_free char *old =
	    xasprintf(".cache/devbox/bin/0.17.0_linux_%s/devbox", elf_processor());
	auto_free char *new = xasprintf(".cache/devbox/bin/0.9.0_linux_%s/devbox", elf_processor());
	const struct timespec past[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

	put_elf(&host, "one/other", 1, 'x');
	temp_dir_put_text(&host, "one/devbox", "#!/bin/bash\n");
	put_elf(&host, ".cache/devbox/bin/0.18.0_darwin_arm64/devbox", 1, 'm');
	put_elf(&host, ".cache/devbox/bin/0.18.0_linux_riscv64/devbox", 1, 'r');
	CHECK_INT(taken_from(), 0);
	put_elf(&host, old, 1, 'o');
	CHECK_INT(utimensat(host.fd, old, past, 0), 0);
	CHECK_INT(taken_from(), 'o');
	put_elf(&host, new, 1, 'n');
	CHECK_INT(taken_from(), 'n');
	CHECK_INT(setenv("DEVBOX_USE_VERSION", "0.17.0", 1), 0);
	CHECK_INT(taken_from(), 'o');
}

static void a_copy_is_kept_when_the_host_has_none_any_more_and_renewed_when_it_has_another(void)
{
	auto_temp_dir struct temp_dir host = make_host();

	put_elf(&host, "two/devbox", 1, 'b');
	CHECK_INT(taken_from(), 'b');
	CHECK_INT(unlinkat(host.fd, "two/devbox", 0), 0);
	CHECK_INT(taken_from(), 'b');
	put_elf(&host, "two/devbox", 1, 'c');
	CHECK_INT(taken_from(), 'c');
}

static void a_devbox_that_is_named_is_the_one_or_an_error(void)
{
	auto_temp_dir struct temp_dir host = make_host();
	auto_free char *named = xasprintf("%s/named/mine", host.path);
	auto_close int dir = -1;
	struct err err = ERR_INIT;
	bool there = false;

	put_elf(&host, "one/devbox", 1, 'a');
	put_elf(&host, "named/mine", 1, 'n');
	CHECK_INT(setenv("DXVM_DEVBOX", named, 1), 0);
	CHECK(tools_wanted());
	CHECK_INT(taken_from(), 'n');
	put_elf(&host, "named/mine", INTERPRETER, 'i');
	CHECK_INT(tools_open(&dir, &err), 0);
	CHECK_INT(tools_take_devbox(dir, &there, &err), -1);
	CHECK(strstr(err.text, "no static program for Linux") != NULL);
	CHECK_INT(setenv("DXVM_DEVBOX", "", 1), 0);
	CHECK(!tools_wanted());
	(void)unsetenv("DXVM_DEVBOX");
	CHECK(tools_wanted());
}

static void what_is_no_program_for_this_processor_or_cut_is_not_static(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	uint8_t bytes[128];

	(void)make_elf(bytes, 1, 0);
	for (size_t length = 0; length <= sizeof(bytes); length++) {
		temp_dir_put(&dir, "program", bytes, length);
		auto_close int fd = openat(dir.fd, "program", O_RDONLY | O_CLOEXEC);
		CHECK_INT(elf_is_static(fd), length >= 64 + 56);
	}
	static const struct {
		size_t at;
		uint8_t value;
	} wrong[] = {{0, 0},	 {4, 1},  {5, 2},  {16, 1}, {18, 3},	      {39, 0xff},
		     {35, 0x80}, {54, 0}, {56, 0}, {57, 1}, {64, INTERPRETER}};
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		(void)make_elf(bytes, 1, 0);
		bytes[wrong[i].at] = wrong[i].value;
		temp_dir_put(&dir, "program", bytes, sizeof(bytes));
		auto_close int fd = openat(dir.fd, "program", O_RDONLY | O_CLOEXEC);
		CHECK(!elf_is_static(fd));
	}
}

TEST_MAIN(TEST(the_first_static_one_in_path_is_copied_and_others_are_passed_over),
	  TEST(behind_a_launcher_is_what_it_has_downloaded),
	  TEST(a_copy_is_kept_when_the_host_has_none_any_more_and_renewed_when_it_has_another),
	  TEST(a_devbox_that_is_named_is_the_one_or_an_error),
	  TEST(what_is_no_program_for_this_processor_or_cut_is_not_static))
