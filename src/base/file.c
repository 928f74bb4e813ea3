#include "base/file.h"

#include "base/fault.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#ifdef __linux__
#include <linux/fs.h>
#endif

#define COPY_CHUNK ((size_t)1 << 20)
#define READ_FIRST ((size_t)4000)

int file_read(int dir, const char *name, size_t max, char **ret_text, size_t *ret_length,
	      struct err *err)
{
	/* O_NONBLOCK: a FIFO somebody put there must not hang us. */
	auto_close int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	size_t used = 0;
	size_t size;

	if (fd < 0) {
		if (errno == ELOOP)
			return err_set(err, ERR_INVALID, "%s is a symbolic link", name);
		(void)err_sys(err, "read %s", name);
		if (errno == ENOENT)
			err->code = ERR_NOT_FOUND;
		return -1;
	}
	if (fstat(fd, &st) < 0)
		return err_sys(err, "read %s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s is not a regular file", name);
	/* Files of /proc and /sys do not know their size. */
	size = (size_t)st.st_size > READ_FIRST ? (size_t)st.st_size : READ_FIRST;
	size = size < max ? size : max;
	auto_free char *text = xmalloc(size + 1);
	for (;;) {
		ssize_t n = read(fd, text + used, size + 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "read %s", name);
		if (n == 0)
			break;
		used += (size_t)n;
		if (used > max)
			return err_set(err, ERR_INVALID, "%s is larger than %zu bytes", name, max);
		if (used > size) {
			size = 2 * size < max ? 2 * size : max;
			text = xrealloc(text, size + 1);
		}
	}
	text[used] = '\0';
	*ret_text = take_ptr(&text);
	if (ret_length)
		*ret_length = used;
	return 0;
}

int file_write_all(int fd, const void *data, size_t length, struct err *err)
{
	const char *p = data;

	while (length > 0) {
		ssize_t n = fault_point("write", "") < 0 ? -1 : write(fd, p, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "write");
		p += n;
		length -= (size_t)n;
	}
	return 0;
}

int file_create(int dir, const char *name, mode_t mode, int *ret_fd, struct err *err)
{
	int fd;

	if (file_remove(dir, name, err) < 0)
		return -1;
	/* O_EXCL refuses links planted in between. */
	fd = fault_point("create", name) < 0
		 ? -1
		 : openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return err_sys(err, "create %s", name);
	*ret_fd = fd;
	return 0;
}

int file_remove(int dir, const char *name, struct err *err)
{
	if ((fault_point("remove", name) < 0 || unlinkat(dir, name, 0) < 0) && errno != ENOENT)
		return err_sys(err, "remove %s", name);
	return 0;
}

int file_rename(int dir, const char *from, const char *to, struct err *err)
{
	if (fault_point("rename", to) < 0 || renameat(dir, from, dir, to) < 0)
		return err_sys(err, "rename %s to %s", from, to);
	return 0;
}

int file_sync(int fd, const char *name, struct err *err)
{
	return fault_point("sync", name) < 0 || fsync(fd) < 0 ? err_sys(err, "sync %s", name) : 0;
}

/* Syncs the directory itself, so that a rename in it survives a power cut. */
static int sync_dir(int dir, const char *name, struct err *err)
{
	auto_close int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? err_sys(err, "open the directory of %s", name) : file_sync(fd, name, err);
}

static int write_part(int dir, const char *part, const void *data, size_t length, mode_t mode,
		      struct err *err)
{
	auto_close int fd = -1;

	if (file_create(dir, part, mode, &fd, err) < 0)
		return -1;
	return file_write_all(fd, data, length, err) < 0 || file_sync(fd, part, err) < 0 ? -1 : 0;
}

int file_write_atomic(int dir, const char *name, const void *data, size_t length, mode_t mode,
		      struct err *err)
{
	auto_free char *part = xasprintf("%s" FILE_PART, name);

	if (write_part(dir, part, data, length, mode, err) < 0 ||
	    file_rename(dir, part, name, err) < 0) {
		(void)unlinkat(dir, part, 0);
		return err_wrap(err, "%s", name);
	}
	return sync_dir(dir, name, err);
}

/* Takes the flock, or ERR_BUSY. */
static int lock(int fd, bool wait, const char *name, struct err *err)
{
	while (flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return err_set(err, ERR_BUSY, "%s is locked", name);
		if (errno != EINTR)
			return err_sys(err, "lock %s", name);
	}
	return 0;
}

void file_fill_standard(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int file_lock(int dir, const char *name, bool wait, int *ret_fd, struct err *err)
{
	auto_close int fd =
	    fault_point("create", name) < 0
		? -1
		: openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(err, "open lock %s", name);
	if (lock(fd, wait, name, err) < 0)
		return -1;
	*ret_fd = take_fd(&fd);
	return 0;
}

int file_lock_dir(int dir, bool wait, int *ret_fd, struct err *err)
{
	/* Of a descriptor of its own: a second lock of this process waits for the first, too. */
	auto_close int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(err, "open directory");
	if (lock(fd, wait, "the directory", err) < 0)
		return -1;
	*ret_fd = take_fd(&fd);
	return 0;
}

static bool is_part(const char *name)
{
	size_t length = strlen(name);

	return length > strlen(FILE_PART) &&
	       strcmp(name + length - strlen(FILE_PART), FILE_PART) == 0;
}

DIR *file_list(int dir, const char *name)
{
	auto_close int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (list)
		(void)take_fd(&fd); /* the list's */
	return list;
}

void file_sweep(int dir)
{
	DIR *list = file_list(dir, ".");
	const struct dirent *entry;

	if (!list)
		return;
	while ((entry = readdir(list)))
		if (is_part(entry->d_name))
			(void)unlinkat(dir, entry->d_name, 0);
	(void)closedir(list);
}

int file_open_dir(int dir, const char *name, int *ret_fd, struct err *err)
{
	auto_close int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0) {
		(void)err_sys(err, "open directory %s", name);
		if (errno == ENOENT)
			err->code = ERR_NOT_FOUND;
		return -1;
	}
	if (fstat(fd, &st) < 0)
		return err_sys(err, "open directory %s", name);
	if (st.st_uid != geteuid() && geteuid() != 0)
		return err_set(err, ERR_INVALID, "%s belongs to user %lu, not to you", name,
			       (unsigned long)st.st_uid);
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Whatever mkdir said (EEXIST, or EISDIR, EROFS, EACCES of other systems): is it there? */
static bool is_directory(const char *path)
{
	struct stat st;
	int said = errno;
	bool is = stat(path, &st) == 0 && S_ISDIR(st.st_mode);

	errno = said;
	return is;
}

int file_mkdir(int dir, const char *name, mode_t mode, bool *ret_new, struct err *err)
{
	bool made = fault_point("mkdir", name) == 0 && mkdirat(dir, name, mode) == 0;

	if (!made && errno != EEXIST)
		return err_sys(err, "create directory %s", name);
	if (ret_new)
		*ret_new = made;
	return 0;
}

int file_mkdirs(const char *path, mode_t mode, struct err *err)
{
	auto_free char *partial = xstrdup(path);
	char *slash = strchr(partial + (partial[0] == '/' ? 1 : 0), '/');

	for (;; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = '\0';
		if (!is_directory(partial) &&
		    (fault_point("mkdir", partial) < 0 || mkdir(partial, mode) < 0) &&
		    !is_directory(partial)) /* others may be making it, too */
			return err_sys(err, "create directory %s", partial);
		if (!slash)
			return 0;
		*slash = '/';
	}
}

int file_write_at(int fd, const void *data, size_t length, off_t at, struct err *err)
{
	const char *p = data;

	while (length > 0) {
		ssize_t n = fault_point("write", "") < 0 ? -1 : pwrite(fd, p, length, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "write");
		p += n;
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

static int copy_range(int from, int to, off_t start, off_t end, char *chunk, struct err *err)
{
	while (start < end) {
		size_t want =
		    (size_t)(end - start) < COPY_CHUNK ? (size_t)(end - start) : COPY_CHUNK;
		ssize_t n = pread(from, chunk, want, start);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "read");
		if (n == 0)
			return 0;
		if (file_write_at(to, chunk, (size_t)n, start, err) < 0)
			return -1;
		start += n;
	}
	return 0;
}

/* The next extent with data at or after *start. 1, 0 when there is none, or -1 with errno. A file
 * system that knows no holes has one extent. */
static int next_extent(int fd, off_t size, off_t *start, off_t *ret_end)
{
	off_t data = lseek(fd, *start, SEEK_DATA);
	off_t hole;

	if (data < 0 && errno == ENXIO)
		return 0;
	hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
	if (hole < 0) {
		if (errno != EINVAL && errno != EOPNOTSUPP)
			return -1;
		data = *start;
		hole = size;
	}
	*start = data;
	*ret_end = hole;
	return 1;
}

int file_set_size(int fd, off_t size, struct err *err)
{
	return fault_point("size", "") < 0 || ftruncate(fd, size) < 0 ? err_sys(err, "set size")
								      : 0;
}

int file_clone(int from, int to, struct err *err)
{
	struct stat st;
	off_t data = 0;
	off_t end = 0;
	int more = 0;

#ifdef FICLONE
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
#endif
	if (fstat(from, &st) < 0)
		return err_sys(err, "stat");
	if (file_set_size(to, st.st_size, err) < 0)
		return -1;
	auto_free char *chunk = xmalloc(COPY_CHUNK);
	while (data < st.st_size && (more = next_extent(from, st.st_size, &data, &end)) > 0) {
		if (copy_range(from, to, data, end, chunk, err) < 0)
			return -1;
		data = end;
	}
	return more < 0 ? err_sys(err, "find data") : 0;
}

int file_socketpair(int *ret_one, int *ret_other, struct err *err)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(err, "socketpair");
	*ret_one = ends[0];
	*ret_other = ends[1];
	return 0;
}

int file_set_nonblock(int fd, bool on, struct err *err)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
		return err_sys(err, "set non-blocking");
	return 0;
}

int file_set_inherit(int fd, bool on, struct err *err)
{
	if (fcntl(fd, F_SETFD, on ? 0 : FD_CLOEXEC) < 0)
		return err_sys(err, "set close-on-exec");
	return 0;
}
