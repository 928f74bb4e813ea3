/* What a data directory may hold, and what becomes of it at boot. */
#include "guest/boot.h"
#include "unit/temp_dir.h"
#include "unit/test.h"

#include <sys/stat.h>

#define MIB ((off_t)1 << 20)

struct fixture {
	struct temp_dir dir;
	char agent[96];
	char devbox[96];
};

static struct fixture make_data_dir(void)
{
	struct fixture f = {.dir = temp_dir_make()};

	(void)mkdirat(f.dir.fd, "boot", 0700);
	temp_dir_put_text(&f.dir, "boot/kernel", "KERNEL");
	temp_dir_put_text(&f.dir, "boot/initrd", "12345");
	temp_dir_put_text(&f.dir, "agent", "AGENT");
	temp_dir_put_text(&f.dir, "devbox", "DEVBOX");
	temp_dir_put_text(&f.dir, "disk.img", "DISK");
	(void)snprintf(f.agent, sizeof(f.agent), "%s/agent", f.dir.path);
	(void)snprintf(f.devbox, sizeof(f.devbox), "%s/devbox", f.dir.path);
	return f;
}

static void fixture_done(struct fixture *f)
{
	temp_dir_done(&f->dir);
}
#define auto_fixture CLEANUP(fixture_done)

static int open_boot(const struct fixture *f, const char *kind, struct guest_boot *boot,
		     struct err *err)
{
	const struct guest_programs programs = {.agent = f->agent, .devbox = f->devbox};

	return guest_boot_open(f->dir.fd, kind_find(kind), &programs, false, boot, err);
}

static void close_boot(struct guest_boot *boot)
{
	(void)close(boot->kernel_fd);
	(void)close(boot->initrd_fd);
	if (boot->disk_fd >= 0)
		(void)close(boot->disk_fd);
	free(boot->cmdline);
}

static void check_refused(const struct fixture *f, const char *words)
{
	struct err err = ERR_INIT;
	struct guest_boot boot;

	CHECK_INT(open_boot(f, "debian", &boot, &err), -1);
	if (!strstr(err.text, words))
		printf("# \"%s\" does not say \"%s\"\n", err.text, words);
	CHECK(strstr(err.text, words) != NULL);
}

static void our_programs_follow_the_initrd_at_an_aligned_place(void)
{
	auto_fixture struct fixture f = make_data_dir();
	struct err err = ERR_INIT;
	struct guest_boot boot;
	char text[512] = {0};

	CHECK_INT(open_boot(&f, "tiny", &boot, &err), 0);
	CHECK(read(boot.initrd_fd, text, sizeof(text)) > 0);
	CHECK(memcmp(text,
		     "12345\0\0\0"
		     "070701",
		     14) == 0);
	CHECK_STR(text + 8 + 110, "init");
	CHECK(memcmp(text + 8 + 116, "AGENT", 5) == 0);
	/* Padded to 4: the next header, its name and content. */
	CHECK_STR(text + 8 + 124 + 110, "dxvm-devbox");
	CHECK(memcmp(text + 8 + 124 + 124, "DEVBOX", 6) == 0);
	CHECK_INT(boot.disk_fd, -1);
	close_boot(&boot);
}

static void the_disk_grows_and_never_shrinks(void)
{
	auto_fixture struct fixture f = make_data_dir();
	struct err err = ERR_INIT;
	struct guest_boot boot;
	struct stat st;

	CHECK_INT(open_boot(&f, "debian", &boot, &err), 0);
	CHECK_INT(guest_disk_grow(boot.disk_fd, (uint64_t)(8 * MIB), &err), 0);
	CHECK_INT(fstat(boot.disk_fd, &st), 0);
	CHECK_INT(st.st_size, 8 * MIB);
	CHECK(strstr(boot.cmdline, "dxvm.root=/dev/vda") != NULL);
	close_boot(&boot);
	CHECK_INT(open_boot(&f, "debian", &boot, &err), 0);
	CHECK_INT(guest_disk_grow(boot.disk_fd, (uint64_t)MIB, &err), 0);
	CHECK_INT(fstat(boot.disk_fd, &st), 0);
	CHECK_INT(st.st_size, 8 * MIB);
	close_boot(&boot);
}

static void what_is_missing_is_named(void)
{
	auto_fixture struct fixture f = make_data_dir();

	(void)unlinkat(f.dir.fd, "disk.img", 0);
	check_refused(&f, "disk.img is missing");
	(void)unlinkat(f.dir.fd, "boot/initrd", 0);
	check_refused(&f, "boot/initrd is missing");
	(void)unlinkat(f.dir.fd, "boot/kernel", 0);
	check_refused(&f, "boot/kernel is missing");
	(void)unlinkat(f.dir.fd, "boot", AT_REMOVEDIR);
	check_refused(&f, "dxvm install");
}

static void links_fifos_and_sizes_out_of_bounds_are_refused(void)
{
	auto_fixture struct fixture f = make_data_dir();

	(void)unlinkat(f.dir.fd, "boot/kernel", 0);
	CHECK_INT(symlinkat("/etc/passwd", f.dir.fd, "boot/kernel"), 0);
	check_refused(&f, "boot/kernel is a symbolic link");
	(void)unlinkat(f.dir.fd, "boot/kernel", 0);
	CHECK_INT(mkfifoat(f.dir.fd, "boot/kernel", 0600), 0);
	check_refused(&f, "boot/kernel is not a regular file");
	(void)unlinkat(f.dir.fd, "boot/kernel", 0);
	temp_dir_put_text(&f.dir, "boot/kernel", "");
	check_refused(&f, "boot/kernel has 0 bytes");
	auto_close int fd = openat(f.dir.fd, "boot/kernel", O_WRONLY | O_CLOEXEC);
	CHECK_INT(ftruncate(fd, (off_t)100 << 30), 0);
	check_refused(&f, "boot/kernel has 107374182400 bytes");
}

static void a_boot_directory_that_is_a_link_is_refused(void)
{
	auto_fixture struct fixture f = make_data_dir();

	CHECK_INT(renameat(f.dir.fd, "boot", f.dir.fd, "elsewhere"), 0);
	CHECK_INT(symlinkat("elsewhere", f.dir.fd, "boot"), 0);
	check_refused(&f, "boot");
}

static void a_program_that_is_not_there_is_an_error(void)
{
	auto_fixture struct fixture f = make_data_dir();

	(void)unlinkat(f.dir.fd, "devbox", 0);
	check_refused(&f, "/devbox");
	(void)unlinkat(f.dir.fd, "agent", 0);
	check_refused(&f, "guest agent");
}

TEST_MAIN(TEST(our_programs_follow_the_initrd_at_an_aligned_place),
	  TEST(the_disk_grows_and_never_shrinks), TEST(what_is_missing_is_named),
	  TEST(links_fifos_and_sizes_out_of_bounds_are_refused),
	  TEST(a_boot_directory_that_is_a_link_is_refused),
	  TEST(a_program_that_is_not_there_is_an_error))
