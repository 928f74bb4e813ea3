/*
 * Hosts without Linux's calls: paths are walked one component at a time (O_NOFOLLOW, never ".."),
 * objects are changed by name right after their identity was seen, and a position in a directory is
 * the number of entries before it.
 */
#include "share/os.h"

#include "share/fuse_proto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef __APPLE__
#define BTIME(st) ((st).st_birthtimespec)
#define ATIME(st) ((st).st_atimespec)
#define MTIME(st) ((st).st_mtimespec)
#define CTIME(st) ((st).st_ctimespec)
#else
#define BTIME(st) ((struct timespec){0})
#define ATIME(st) ((st).st_atim)
#define MTIME(st) ((st).st_mtim)
#define CTIME(st) ((st).st_ctim)
#endif

/* What a system call returned: itself, or a negative errno (a failure without one is EIO). */
static int result(int value)
{
	int error = errno;

	if (value >= 0)
		return value;
	return error > 0 ? -error : -EIO;
}

int os_stat_at(int dir, const char *name, struct os_stat *ret_stat)
{
	struct stat st;

	if ((*name ? fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) : fstat(dir, &st)) < 0)
		return -errno;
	*ret_stat = (struct os_stat){
	    .dev = (uint64_t)st.st_dev,
	    .ino = st.st_ino,
	    .size = (uint64_t)st.st_size,
	    .blocks = (uint64_t)st.st_blocks,
	    .rdev = (uint64_t)st.st_rdev,
	    .mode = st.st_mode,
	    .nlink = (uint32_t)st.st_nlink,
	    .uid = st.st_uid,
	    .gid = st.st_gid,
	    .blksize = (uint32_t)st.st_blksize,
	    .atime = ATIME(st),
	    .mtime = MTIME(st),
	    .ctime = CTIME(st),
	    .btime = BTIME(st),
	};
	return 0;
}

int os_open_dir_beneath(int root, const char *path)
{
	int at = root;

	for (const char *p = path;;) {
		size_t length = strcspn(p, "/");
		char name[256];
		int next = -1;
		int sys = ENAMETOOLONG;

		if (length < sizeof(name)) {
			memcpy(name, p, length);
			name[length] = '\0';
			next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			sys = errno;
		}
		if (at != root)
			(void)close(at);
		if (next < 0)
			return -sys;
		if (p[length] == '\0')
			return next;
		at = next;
		p += length + 1;
	}
}

int os_open_dir_up(int dir)
{
	return result(openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/* Errors up to 34 (ERANGE) but for EAGAIN have one number everywhere that counts. */
int os_linux_errno(int error)
{
#ifdef __linux__
	return error;
#else
	static const struct {
		int here, linux_number;
	} others[] = {
	    {EAGAIN, 11},     {EDEADLK, 35}, {ENAMETOOLONG, 36}, {ENOLCK, 37},	   {ENOSYS, 38},
	    {ENOTEMPTY, 39},  {ELOOP, 40},   {EOVERFLOW, 75},	 {EOPNOTSUPP, 95}, {ENOTSUP, 95},
	    {ETIMEDOUT, 110}, {ESTALE, 116}, {EDQUOT, 122},
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (error == -others[i].here)
			return -others[i].linux_number;
	return error >= -34 ? error : -5;
#endif
}

int os_open(int dir, const char *name, bool write)
{
	return result(
	    openat(dir, name,
		   (write ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

/* Through a descriptor that is in this mode for as long only. */
ssize_t os_append(int fd, const void *data, size_t length)
{
	int flags = fcntl(fd, F_GETFL);
	ssize_t n;
	int sys;

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_APPEND) < 0)
		return -1;
	n = write(fd, data, length);
	sys = errno;
	(void)fcntl(fd, F_SETFL, flags);
	errno = sys;
	return n;
}

static int still_there(int dir, const char *name, const struct os_stat *stat)
{
	struct os_stat now = {.mode = 0};
	int r = os_stat_at(dir, name, &now);

	if (r < 0)
		return r;
	return os_same_object(stat, &now) ? 0 : -ESTALE;
}

int os_chmod(int dir, const char *name, const struct os_stat *stat, mode_t mode)
{
	int r = still_there(dir, name, stat);

	if (r < 0)
		return r;
	if (S_ISLNK(stat->mode))
		return -EOPNOTSUPP;
	if (!*name)
		return result(fchmod(dir, mode));
#ifdef __APPLE__
	return result(fchmodat(dir, name, mode, AT_SYMLINK_NOFOLLOW));
#else
	return result(fchmodat(dir, name, mode, 0));
#endif
}

int os_set_times(int dir, const char *name, const struct os_stat *stat,
		 const struct timespec times[2])
{
	int r = still_there(dir, name, stat);

	if (r < 0)
		return r;
	if (!*name)
		return result(futimens(dir, times));
	return result(utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW));
}

/* mknod(2) is root's elsewhere. */
int os_mkfile(int dir, const char *name, mode_t mode)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

	return fd < 0 ? result(fd) : result(close(fd));
}

int os_mkfifo(int dir, const char *name, mode_t mode)
{
	(void)dir;
	(void)name;
	(void)mode;
	return -EPERM;
}

int os_mksock(int dir, const char *name, mode_t mode)
{
	(void)dir;
	(void)name;
	(void)mode;
	return -EPERM;
}

int os_rename(int from_dir, const char *from, int to_dir, const char *to, uint32_t flags)
{
#ifdef __APPLE__
	unsigned native = flags == FUSE_RENAME_NOREPLACE  ? RENAME_EXCL
			  : flags == FUSE_RENAME_EXCHANGE ? RENAME_SWAP
							  : 0;

	return result(renameatx_np(from_dir, from, to_dir, to, native));
#else
	return flags ? -EINVAL : result(renameat(from_dir, from, to_dir, to));
#endif
}

int os_fallocate(int fd, uint32_t mode, off_t offset, off_t length)
{
	(void)fd;
	(void)mode;
	(void)offset;
	(void)length;
	return -EOPNOTSUPP;
}

off_t os_seek(int fd, off_t offset, uint32_t whence)
{
	off_t at = lseek(fd, offset, whence == FUSE_SEEK_DATA ? SEEK_DATA : SEEK_HOLE);

	return at < 0 ? -errno : at;
}

ssize_t os_copy_range(int in, off_t in_offset, int out, off_t out_offset, size_t length)
{
	(void)in;
	(void)in_offset;
	(void)out;
	(void)out_offset;
	(void)length;
	return -EOPNOTSUPP;
}

int os_read_dir(int fd, uint64_t cookie, os_dir_visit *visit, void *context)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *d;
	int sys = errno;

	if (!dir) {
		if (copy >= 0)
			(void)close(copy);
		return -sys;
	}
	errno = 0;
	for (uint64_t at = 1; (d = readdir(dir)) != NULL; at++)
		if (at > cookie && !visit(context, d->d_name, d->d_ino, d->d_type, at))
			break;
	sys = d ? 0 : errno;
	(void)closedir(dir);
	return -sys;
}
