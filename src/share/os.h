#pragma once
/*
 * What the share asks of the host's kernel, where hosts differ: os_linux.c, and os_posix.c for
 * everything else (it also compiles on Linux, where the tests hold both against each other).
 * Functions return 0 (or what they say) or a negative errno. No function follows a symbolic link in
 * the last component of a name. Descriptors are close-on-exec.
 */
#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

struct os_stat {
	uint64_t dev, ino, size, blocks, rdev;
	uint32_t mode, nlink, uid, gid, blksize;
	struct timespec atime, mtime, ctime;
	struct timespec btime; /* 0 where the file system keeps none */
};

/* name "" is the descriptor itself. */
int os_stat_at(int dir, const char *name, struct os_stat *ret_stat);

/* A descriptor for *at() calls of the directory `path` below `root` ("." is root itself): no
 * component may be a symbolic link, "..", or lead out of root, not even while somebody renames
 * directories around. Path is relative, components are separated by single slashes. */
int os_open_dir_beneath(int root, const char *path);

/* The directory above, for finding out where the host keeps things; never for a guest. */
int os_open_dir_up(int dir);

/* Opens a regular file or directory for reading (and writing) without waiting for a FIFO that
 * somebody put there. */
int os_open(int dir, const char *name, bool write);

/* As write(2), errno included, at the end of the file wherever that is by then. */
ssize_t os_append(int fd, const void *data, size_t length);

/* Mode and times of the object `name`, whose identity the caller has just seen as `stat`; -ESTALE
 * when another one took its place. A time whose tv_nsec is UTIME_OMIT stays. */
int os_chmod(int dir, const char *name, const struct os_stat *stat, mode_t mode);
int os_set_times(int dir, const char *name, const struct os_stat *stat,
		 const struct timespec times[2]);

/* -EEXIST when there is anything of that name. */
int os_mkfile(int dir, const char *name, mode_t mode);
int os_mkfifo(int dir, const char *name, mode_t mode);
int os_mksock(int dir, const char *name, mode_t mode);

/* flags: FUSE_RENAME_NOREPLACE or FUSE_RENAME_EXCHANGE, or 0. -EINVAL where the file system cannot.
 */
int os_rename(int from_dir, const char *from, int to_dir, const char *to, uint32_t flags);

/* mode: FUSE_FALLOC_*. -EOPNOTSUPP where it cannot be done. */
int os_fallocate(int fd, uint32_t mode, off_t offset, off_t length);
/* Whence is FUSE_SEEK_DATA or FUSE_SEEK_HOLE. The position found, or a negative errno. */
off_t os_seek(int fd, off_t offset, uint32_t whence);
/* At most `length` bytes within the kernel; the number copied or a negative errno. */
ssize_t os_copy_range(int in, off_t in_offset, int out, off_t out_offset, size_t length);

/* One directory entry after another from position `cookie` (0: the start). visit gets the cookie
 * that continues after the entry and returns false to stop. Cookies stay good across reopening the
 * directory and across restarts. */
typedef bool os_dir_visit(void *context, const char *name, uint64_t ino, uint32_t type,
			  uint64_t cookie);
int os_read_dir(int fd, uint64_t cookie, os_dir_visit *visit, void *context);

/* A negative errno of this host (or 0) as the guest's kernel counts them. */
int os_linux_errno(int error);

static inline bool os_same_object(const struct os_stat *a, const struct os_stat *b)
{
	return a->dev == b->dev && a->ino == b->ino && ((a->mode ^ b->mode) & S_IFMT) == 0 &&
	       a->btime.tv_sec == b->btime.tv_sec && a->btime.tv_nsec == b->btime.tv_nsec;
}
