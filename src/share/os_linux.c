/*
 * Linux. statx gives the birth time, which tells a file from a later one with the same inode
 * number (but not on overlayfs, where a file gets another one with the first write); openat2 lets the
 * kernel walk a whole path without following a link or leaving the root, in one call. Where openat2 is missing (before 5.6, or refused by a container's filter) the walk
 * is made one component at a time, which a rename in between cannot turn into a way out either,
 * since no component is ".." or a link.
 */
#include "share/os.h"

#include "share/fuse_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PROC_PATH_MAX 32
#define DIR_BLOCK     8192

/* What a system call returned: itself, or a negative errno (a failure without one is EIO). */
static int result(int value)
{
	int error = errno;

	if (value >= 0)
		return value;
	return error > 0 ? -error : -EIO;
}

static struct timespec time_of(struct statx_timestamp t)
{
	return (struct timespec){.tv_sec = t.tv_sec, .tv_nsec = t.tv_nsec};
}

/* What was found out of file systems last: asking each time would cost as much as the stat. */
static struct {
	uint64_t dev;
	bool overlay;
} known[16];
static size_t known_next;

static bool is_overlay(int dir, const char *name, uint64_t dev)
{
	struct statfs fs;
	int fd;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].dev == dev)
			return known[i].overlay;
	fd = *name ? openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : dir;
	r = fstatfs(fd, &fs);
	if (fd >= 0 && fd != dir)
		(void)close(fd);
	if (r < 0)
		return false;
	known[known_next].dev = dev;
	known[known_next].overlay = fs.f_type == OVERLAYFS_SUPER_MAGIC;
	known_next = (known_next + 1) % ARRAY_SIZE(known);
	return fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

int os_stat_at(int dir, const char *name, struct os_stat *ret_stat)
{
	struct statx sx;

	if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH,
		  STATX_BASIC_STATS | STATX_BTIME, &sx) < 0)
		return -errno;
	*ret_stat = (struct os_stat){
	    .dev = makedev(sx.stx_dev_major, sx.stx_dev_minor),
	    .ino = sx.stx_ino,
	    .size = sx.stx_size,
	    .blocks = sx.stx_blocks,
	    .rdev = makedev(sx.stx_rdev_major, sx.stx_rdev_minor),
	    .mode = sx.stx_mode,
	    .nlink = sx.stx_nlink,
	    .uid = sx.stx_uid,
	    .gid = sx.stx_gid,
	    .blksize = sx.stx_blksize,
	    .atime = time_of(sx.stx_atime),
	    .mtime = time_of(sx.stx_mtime),
	    .ctime = time_of(sx.stx_ctime),
	};
	if ((sx.stx_mask & STATX_BTIME) && !is_overlay(dir, name, ret_stat->dev))
		ret_stat->btime = time_of(sx.stx_btime);
	return 0;
}

static int walk(int root, const char *path)
{
	int at = root;

	for (const char *p = path;;) {
		const char *slash = strchrnul(p, '/');
		char name[256];
		int next;

		if ((size_t)(slash - p) >= sizeof(name)) {
			next = -1;
			errno = ENAMETOOLONG;
		} else {
			memcpy(name, p, (size_t)(slash - p));
			name[slash - p] = '\0';
			next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		}
		int sys = errno;

		if (at != root)
			(void)close(at);
		if (next < 0)
			return -sys;
		if (*slash == '\0')
			return next;
		at = next;
		p = slash + 1;
	}
}

int os_open_dir_beneath(int root, const char *path)
{
	struct open_how how = {
	    .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	/* EAGAIN: somebody renames directories faster than the kernel can be sure of the path. */
	for (int i = 0; i < 8; i++) {
		fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EAGAIN))
		return walk(root, path);
	return result(fd);
}

int os_open_dir_up(int dir)
{
	return result(openat(dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

int os_linux_errno(int error)
{
	return error;
}

int os_open(int dir, const char *name, bool write)
{
	return result(
	    openat(dir, name,
		   (write ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

ssize_t os_append(int fd, const void *data, size_t length)
{
	struct iovec bytes = {.iov_base = (void *)(uintptr_t)data, .iov_len = length};

	return pwritev2(fd, &bytes, 1, 0, RWF_APPEND);
}

/* A path that leads to exactly the object seen before, whatever has its name by now. */
static int hold(int dir, const char *name, const struct os_stat *stat, char *ret_path)
{
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct os_stat now = {.mode = 0};

	if (fd < 0)
		return -errno;
	if (os_stat_at(fd, "", &now) != 0 || !os_same_object(stat, &now)) {
		(void)close(fd);
		return -ESTALE;
	}
	(void)snprintf(ret_path, PROC_PATH_MAX, "/proc/self/fd/%d", fd);
	return fd;
}

int os_chmod(int dir, const char *name, const struct os_stat *stat, mode_t mode)
{
	char path[PROC_PATH_MAX];
	int fd;
	int r;

	if (S_ISLNK(stat->mode))
		return -EOPNOTSUPP;
	fd = hold(dir, name, stat, path);
	if (fd < 0)
		return fd;
	r = result(chmod(path, mode));
	(void)close(fd);
	return r;
}

int os_set_times(int dir, const char *name, const struct os_stat *stat,
		 const struct timespec times[2])
{
	char path[PROC_PATH_MAX];
	int fd;
	int r;

	/* A link's own times can only be reached by its name. */
	if (S_ISLNK(stat->mode))
		return result(utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW));
	fd = hold(dir, name, stat, path);
	if (fd < 0)
		return fd;
	r = result(utimensat(AT_FDCWD, path, times, 0));
	(void)close(fd);
	return r;
}

/* In one call, and with one event for those who watch. */
int os_mkfile(int dir, const char *name, mode_t mode)
{
	return result(mknodat(dir, name, S_IFREG | mode, 0));
}

int os_mkfifo(int dir, const char *name, mode_t mode)
{
	return result(mknodat(dir, name, S_IFIFO | mode, 0));
}

int os_mksock(int dir, const char *name, mode_t mode)
{
	return result(mknodat(dir, name, S_IFSOCK | mode, 0));
}

int os_rename(int from_dir, const char *from, int to_dir, const char *to, uint32_t flags)
{
	/* The numbers of the flags are Linux's own. */
	return result(renameat2(from_dir, from, to_dir, to, flags));
}

int os_fallocate(int fd, uint32_t mode, off_t offset, off_t length)
{
	return result(fallocate(fd, (int)mode, offset, length));
}

off_t os_seek(int fd, off_t offset, uint32_t whence)
{
	off_t at = lseek(fd, offset, whence == FUSE_SEEK_DATA ? SEEK_DATA : SEEK_HOLE);

	return at < 0 ? -errno : at;
}

ssize_t os_copy_range(int in, off_t in_offset, int out, off_t out_offset, size_t length)
{
	ssize_t n = copy_file_range(in, &in_offset, out, &out_offset, length, 0);

	return n < 0 ? -errno : n;
}

struct linux_dirent {
	uint64_t ino;
	int64_t off;
	uint16_t length;
	uint8_t type;
	char name[];
};

/* The file system's own positions: they survive reopening, which those of readdir(3) need not. */
int os_read_dir(int fd, uint64_t cookie, os_dir_visit *visit, void *context)
{
	_Alignas(struct linux_dirent) char block[DIR_BLOCK];

	if (cookie > INT64_MAX || lseek(fd, (off_t)cookie, SEEK_SET) < 0)
		return -EINVAL;
	for (;;) {
		long n = syscall(SYS_getdents64, fd, block, sizeof(block));

		if (n <= 0)
			return n < 0 ? -errno : 0;
		for (long at = 0; at < n;) {
			const struct linux_dirent *d = (const void *)(block + at);

			if (!visit(context, d->name, d->ino, d->type, (uint64_t)d->off))
				return 0;
			at += d->length;
		}
	}
}
