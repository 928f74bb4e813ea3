#include "base/file.h"
#include "base/mem.h"
#include "unit/temp_dir.h"
#include "unit/test.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define LARGE ((size_t)1 << 20)

static bool is_there(const struct temp_dir *dir, const char *name)
{
	struct stat st;

	return fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void read_takes_no_more_than_the_maximum(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct err err = ERR_INIT;
	auto_free char *text = NULL;
	size_t length = 0;

	temp_dir_put_text(&dir, "f", "12345");
	CHECK_INT(file_read(dir.fd, "f", 5, &text, &length, &err), 0);
	CHECK_STR(text, "12345");
	CHECK_INT(length, 5);
	auto_free char *more = NULL;
	CHECK_INT(file_read(dir.fd, "f", 4, &more, NULL, &err), -1);
	CHECK_INT(err.code, ERR_INVALID);
	CHECK_STR(err.text, "f is larger than 4 bytes");
	CHECK(more == NULL);
}

static void read_refuses_what_a_stranger_may_have_put_there(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct err err = ERR_INIT;
	char *text = NULL;

	CHECK_INT(file_read(dir.fd, "none", 10, &text, NULL, &err), -1);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK_INT(symlinkat("/etc/passwd", dir.fd, "link"), 0);
	CHECK_INT(file_read(dir.fd, "link", 10, &text, NULL, &err), -1);
	CHECK_STR(err.text, "link is a symbolic link");
	CHECK_INT(mkfifoat(dir.fd, "fifo", 0600), 0);
	CHECK_INT(file_read(dir.fd, "fifo", 10, &text, NULL, &err), -1);
	CHECK_STR(err.text, "fifo is not a regular file");
	CHECK_INT(mkdirat(dir.fd, "sub", 0700), 0);
	CHECK_INT(file_read(dir.fd, "sub", 10, &text, NULL, &err), -1);
	CHECK_INT(err.code, ERR_INVALID);
	CHECK(text == NULL);
}

static void write_replaces_content_mode_and_a_part_left_by_a_crash(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct err err = ERR_INIT;
	struct stat st;
	auto_free char *text = NULL;

	temp_dir_put_text(&dir, "f", "old and longer");
	temp_dir_put_text(&dir, "f.part", "half");
	CHECK_INT(file_write_atomic(dir.fd, "f", "new", 3, 0640, &err), 0);
	CHECK_INT(file_read(dir.fd, "f", 100, &text, NULL, &err), 0);
	CHECK_STR(text, "new");
	CHECK(fstatat(dir.fd, "f", &st, 0) == 0 && (st.st_mode & 0777 & ~0640u) == 0);
	CHECK(!is_there(&dir, "f.part"));
}

static void write_follows_no_planted_link(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct err err = ERR_INIT;
	auto_free char *text = NULL;

	temp_dir_put_text(&dir, "victim", "untouched");
	CHECK_INT(symlinkat("victim", dir.fd, "f"), 0);
	CHECK_INT(symlinkat("victim", dir.fd, "f.part"), 0);
	CHECK_INT(file_write_atomic(dir.fd, "f", "new", 3, 0600, &err), 0);
	CHECK_INT(file_read(dir.fd, "victim", 100, &text, NULL, &err), 0);
	CHECK_STR(text, "untouched");
}

/* Limits the size of files to 10 bytes for the call, as a full disk would. */
static int write_on_a_full_disk(const struct temp_dir *dir, struct err *err)
{
	struct rlimit before;
	int result;

	(void)signal(SIGXFSZ, SIG_IGN);
	(void)getrlimit(RLIMIT_FSIZE, &before);
	(void)setrlimit(RLIMIT_FSIZE,
			&(struct rlimit){.rlim_cur = 10, .rlim_max = before.rlim_max});
	result = file_write_atomic(dir->fd, "f", "more than ten bytes", 19, 0600, err);
	(void)setrlimit(RLIMIT_FSIZE, &before);
	return result;
}

static void a_failed_write_leaves_the_old_content_and_nothing_else(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct err err = ERR_INIT;
	auto_free char *text = NULL;

	temp_dir_put_text(&dir, "f", "old");
	CHECK_INT(write_on_a_full_disk(&dir, &err), -1);
	CHECK_STR(err.text, "f: write: File too large");
	CHECK_INT(file_read(dir.fd, "f", 100, &text, NULL, &err), 0);
	CHECK_STR(text, "old");
	CHECK(!is_there(&dir, "f.part"));
	CHECK_INT(mkdirat(dir.fd, "sub", 0700), 0);
	CHECK_INT(file_write_atomic(dir.fd, "sub", "x", 1, 0600, &err), -1);
	CHECK(!is_there(&dir, "sub.part"));
}

/* Writes all 'a', all 'b', all 'a' ... until it is killed. */
static _Noreturn void write_forever(const struct temp_dir *dir)
{
	auto_free char *text = xmalloc(LARGE);
	struct err err = ERR_INIT;

	for (char letter = 'a';; letter = letter == 'a' ? 'b' : 'a') {
		memset(text, letter, LARGE);
		if (file_write_atomic(dir->fd, "f", text, LARGE, 0600, &err) < 0)
			_exit(1);
	}
}

static bool is_one_whole_write(const struct temp_dir *dir)
{
	struct err err = ERR_INIT;
	auto_free char *text = NULL;
	size_t length = 0;

	if (file_read(dir->fd, "f", LARGE, &text, &length, &err) < 0 || length != LARGE)
		return false;
	return memcmp(text, text + 1, LARGE - 1) == 0;
}

static void a_killed_writer_leaves_one_whole_version(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct err err = ERR_INIT;

	for (int round = 0; round < 5; round++) {
		pid_t writer = fork();

		if (writer == 0)
			write_forever(&dir);
		while (!is_there(&dir, "f"))
			(void)usleep(1000);
		for (int i = 0; i < 20; i++)
			CHECK(is_one_whole_write(&dir));
		(void)kill(writer, SIGKILL);
		(void)waitpid(writer, NULL, 0);
		CHECK(is_one_whole_write(&dir));
	}
	CHECK_INT(file_write_atomic(dir.fd, "f", "x", 1, 0600, &err), 0);
	CHECK(!is_there(&dir, "f.part"));
}

static void open_dir_refuses_links_files_and_strangers(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct err err = ERR_INIT;
	int fd = -1;

	CHECK_INT(mkdirat(dir.fd, "sub", 0700), 0);
	CHECK_INT(symlinkat("sub", dir.fd, "link"), 0);
	temp_dir_put_text(&dir, "file", "");
	CHECK_INT(file_open_dir(dir.fd, "link", &fd, &err), -1);
	CHECK_INT(file_open_dir(dir.fd, "file", &fd, &err), -1);
	CHECK_INT(file_open_dir(dir.fd, "none", &fd, &err), -1);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK_INT(fd, -1);
	CHECK_INT(file_open_dir(dir.fd, "sub", &fd, &err), 0);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	(void)close(fd);
	if (geteuid() != 0) {
		CHECK_INT(file_open_dir(AT_FDCWD, "/etc", &fd, &err), -1);
		CHECK_INT(err.code, ERR_INVALID);
	}
}

static void mkdirs_makes_what_is_missing_and_only_that(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct err err = ERR_INIT;
	struct stat st;
	auto_free char *deep = xasprintf("%s/a/b//c/", dir.path);
	auto_free char *through_file = xasprintf("%s/file/x", dir.path);
	auto_free char *file = xasprintf("%s/file", dir.path);

	CHECK_INT(mkdirat(dir.fd, "a", 0755), 0);
	CHECK_INT(file_mkdirs(deep, 0700, &err), 0);
	CHECK_INT(file_mkdirs(deep, 0700, &err), 0);
	CHECK(fstatat(dir.fd, "a/b/c", &st, 0) == 0 && (st.st_mode & 0777) == 0700);
	CHECK(fstatat(dir.fd, "a", &st, 0) == 0 && (st.st_mode & 0777) == 0755);
	temp_dir_put_text(&dir, "file", "");
	CHECK_INT(file_mkdirs(through_file, 0700, &err), -1);
	CHECK_INT(file_mkdirs(file, 0700, &err), -1);
	CHECK_INT(err.sys, EEXIST);
	CHECK_INT(file_mkdirs("", 0700, &err), -1);
	CHECK_INT(file_mkdirs("/", 0700, &err), 0);
}

static void a_lock_has_one_holder_until_its_last_descriptor_closes(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct err err = ERR_INIT;
	int first = -1;
	int second = -1;
	int copy;

	CHECK_INT(file_lock(dir.fd, "lock", false, &first, &err), 0);
	CHECK_INT(file_lock(dir.fd, "lock", false, &second, &err), -1);
	CHECK_INT(err.code, ERR_BUSY);
	CHECK_INT(second, -1);
	copy = dup(first);
	(void)close(first);
	CHECK_INT(file_lock(dir.fd, "lock", false, &second, &err), -1);
	(void)close(copy);
	CHECK_INT(file_lock(dir.fd, "lock", false, &second, &err), 0);
	(void)close(second);
}

static void a_waiting_lock_comes_after_the_holder_let_go(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct err err = ERR_INIT;
	int order[2];
	int lock = -1;
	char text[2] = "";
	pid_t waiter;

	CHECK_INT(pipe(order), 0);
	CHECK_INT(file_lock(dir.fd, "lock", false, &lock, &err), 0);
	waiter = fork();
	if (waiter == 0) {
		(void)close(lock);
		_exit(file_lock(dir.fd, "lock", true, &lock, &err) < 0 ||
		      write(order[1], "2", 1) != 1);
	}
	CHECK_INT(write(order[1], "1", 1), 1);
	(void)close(order[1]);
	(void)close(lock);
	CHECK_INT(read(order[0], text, 1), 1);
	CHECK_INT(read(order[0], text + 1, 1), 1);
	CHECK_INT(memcmp(text, "12", 2), 0);
	(void)waitpid(waiter, NULL, 0);
	(void)close(order[0]);
}

static void check_same_content(int from, int to, off_t size)
{
	auto_free char *a = xmalloc((size_t)size + 1);
	auto_free char *b = xmalloc((size_t)size + 1);
	struct stat is;
	struct stat should_be;

	CHECK(fstat(to, &is) == 0 && is.st_size == size);
	CHECK_INT(pread(from, a, (size_t)size + 1, 0), size);
	CHECK_INT(pread(to, b, (size_t)size + 1, 0), size);
	CHECK_INT(memcmp(a, b, (size_t)size), 0);
	/* Holes stay holes: 4 KiB of slack for each of three extents. */
	CHECK(fstat(from, &should_be) == 0 && is.st_blocks <= should_be.st_blocks + 24);
}

static void a_clone_is_equal_and_as_sparse(void)
{
	const off_t size = 32 << 20;
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	auto_close int from = openat(dir.fd, "from", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	auto_close int to = openat(dir.fd, "to", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	auto_free char *block = xmalloc(3 << 20);
	struct err err = ERR_INIT;
	struct stat st;

	memset(block, 'x', 3 << 20);
	CHECK_INT(pwrite(from, block, 10, 0), 10);
	CHECK_INT(pwrite(from, block, 3 << 20, 9 << 20), 3 << 20);
	CHECK_INT(pwrite(from, block, 1, 20 << 20), 1);
	CHECK_INT(ftruncate(from, size), 0);
	CHECK(fstat(from, &st) == 0 && st.st_blocks < 16384);
	CHECK_INT(file_clone(from, to, &err), 0);
	check_same_content(from, to, size);
}

static void the_clone_of_an_empty_and_of_an_all_hole_file(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	auto_close int from = openat(dir.fd, "from", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	auto_close int to = openat(dir.fd, "to", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct err err = ERR_INIT;

	CHECK_INT(file_clone(from, to, &err), 0);
	check_same_content(from, to, 0);
	CHECK_INT(ftruncate(from, 1 << 20), 0);
	CHECK_INT(file_clone(from, to, &err), 0);
	check_same_content(from, to, 1 << 20);
}

static void a_clone_on_a_full_disk_says_so(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	auto_close int from = openat(dir.fd, "from", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	auto_close int to = open("/dev/full", O_RDWR | O_CLOEXEC);
	struct err err = ERR_INIT;

	CHECK_INT(pwrite(from, "x", 1, 0), 1);
	CHECK_INT(file_clone(from, to, &err), -1);
	CHECK_INT(err.code, ERR_SYSTEM);
}

static void write_all_outlasts_a_small_pipe(void)
{
	auto_free char *text = xcalloc(1, LARGE);
	struct err err = ERR_INIT;
	int ends[2];
	size_t got = 0;
	int status = -1;
	pid_t writer;

	CHECK_INT(pipe(ends), 0);
	writer = fork();
	if (writer == 0)
		_exit(file_write_all(ends[1], text, LARGE, &err) < 0);
	(void)close(ends[1]);
	for (ssize_t n = 1; n > 0; got += (size_t)(n > 0 ? n : 0))
		n = read(ends[0], text, LARGE);
	CHECK_INT(got, LARGE);
	(void)waitpid(writer, &status, 0);
	CHECK_INT(status, 0);
	(void)close(ends[0]);
}

static void flags_of_a_descriptor_go_on_and_off(void)
{
	auto_close int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct err err = ERR_INIT;

	CHECK_INT(file_set_nonblock(fd, true, &err), 0);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	CHECK_INT(file_set_nonblock(fd, false, &err), 0);
	CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	CHECK_INT(file_set_inherit(fd, true, &err), 0);
	CHECK(!(fcntl(fd, F_GETFD) & FD_CLOEXEC));
	CHECK_INT(file_set_inherit(fd, false, &err), 0);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CHECK_INT(file_set_nonblock(-1, true, &err), -1);
	CHECK_INT(file_set_inherit(-1, true, &err), -1);
}

static void a_file_that_does_not_know_its_size_is_read_whole(void)
{
	auto_close int proc = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_free char *text = NULL;
	char *more = NULL;
	size_t length = 0;
	struct err err;

	if (proc < 0)
		SKIP("no /proc here");
	CHECK_INT(file_read(proc, "smaps", (size_t)1 << 20, &text, &length, &err), 0);
	CHECK(length > 8192 && text[length - 1] == '\n' && strlen(text) == length);
	CHECK_INT(file_read(proc, "smaps", 8192, &more, NULL, &err), -1);
	CHECK(!more);
}

TEST_MAIN(TEST(a_file_that_does_not_know_its_size_is_read_whole),
	  TEST(read_takes_no_more_than_the_maximum),
	  TEST(read_refuses_what_a_stranger_may_have_put_there),
	  TEST(write_replaces_content_mode_and_a_part_left_by_a_crash),
	  TEST(write_follows_no_planted_link),
	  TEST(a_failed_write_leaves_the_old_content_and_nothing_else),
	  TEST(a_killed_writer_leaves_one_whole_version),
	  TEST(open_dir_refuses_links_files_and_strangers),
	  TEST(mkdirs_makes_what_is_missing_and_only_that),
	  TEST(a_lock_has_one_holder_until_its_last_descriptor_closes),
	  TEST(a_waiting_lock_comes_after_the_holder_let_go), TEST(a_clone_is_equal_and_as_sparse),
	  TEST(the_clone_of_an_empty_and_of_an_all_hole_file), TEST(a_clone_on_a_full_disk_says_so),
	  TEST(write_all_outlasts_a_small_pipe), TEST(flags_of_a_descriptor_go_on_and_off))
