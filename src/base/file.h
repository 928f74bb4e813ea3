#pragma once
/*
 * Files that must survive a crash and files that a stranger may have put there. Names are relative
 * to a directory descriptor (AT_FDCWD works); the last component is never followed when it is a
 * symbolic link. Every descriptor made is close-on-exec. Errors name the file.
 */
#include "base/err.h"

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Reads a regular file of at most `max` bytes. *ret_text is NUL-terminated and the caller's;
 * ret_length may be NULL. ERR_NOT_FOUND when there is none, ERR_INVALID when it is too large or no
 * regular file. */
int file_read(int dir, const char *name, size_t max, char **ret_text, size_t *ret_length,
	      struct err *err);

/* The name of a file that is being written is followed by this; one that is found is left over from
 * a crash, if nobody else writes. */
#define FILE_PART ".part"

/* Makes a file, empty, open for reading and writing, in the place of one that is there. */
int file_create(int dir, const char *name, mode_t mode, int *ret_fd, struct err *err);
/* One that is not there is no error. */
int file_remove(int dir, const char *name, struct err *err);
int file_rename(int dir, const char *from, const char *to, struct err *err);
/* A file or a directory; the name is for the error. */
int file_sync(int fd, const char *name, struct err *err);
int file_set_size(int fd, off_t size, struct err *err);

/* Replaces or makes a file so that a crash leaves either the old content or the new: written to a
 * temporary name, synced, renamed, directory synced. Two processes that write one name at the same
 * time need a lock of their own. */
int file_write_atomic(int dir, const char *name, const void *data, size_t length, mode_t mode,
		      struct err *err);

/* Opens a directory of the user's own for use with *at(). Not a link, owned by the caller. */
int file_open_dir(int dir, const char *name, int *ret_fd, struct err *err);

/* The names in a directory that is no link; the caller closes it. NULL: not to be read (errno). */
DIR *file_list(int dir, const char *name);

/* A directory that is there is no error; ret_new, which may be NULL, tells. */
int file_mkdir(int dir, const char *name, mode_t mode, bool *ret_new, struct err *err);
/* mkdir -p. Directories that are there already are left as they are. */
int file_mkdirs(const char *path, mode_t mode, struct err *err);

/* Opens (and makes, 0600) a lock file and takes an exclusive flock on it; the lock lasts as long as
 * the descriptor and its duplicates. Without `wait`: ERR_BUSY when somebody holds it. */
int file_lock(int dir, const char *name, bool wait, int *ret_fd, struct err *err);

/* The same on a directory itself, for those who write in it or sweep it. */
int file_lock_dir(int dir, bool wait, int *ret_fd, struct err *err);
/* Removes what a crash left half written. For who holds the directory's lock, or is alone. */
void file_sweep(int dir);

/* Writes all, across short writes and EINTR. For blocking descriptors. */
int file_write_all(int fd, const void *data, size_t length, struct err *err);
int file_write_at(int fd, const void *data, size_t length, off_t at, struct err *err);

/* Makes `to` (empty, writable) hold what `from` holds: shares the blocks where the file system can
 * (FICLONE), else copies only the extents with data, so that holes stay holes. Does not sync. */
int file_clone(int from, int to, struct err *err);

/* Two ends of a stream, connected to each other. */
int file_socketpair(int *ret_one, int *ret_other, struct err *err);

/* Puts something into each of descriptors 0 to 2 that is closed, so that nothing else gets its number;
 * reading or writing there fails as if it were closed. First thing in a program. */
void file_fill_standard(void);

int file_set_nonblock(int fd, bool on, struct err *err);
/* Whether a program started with exec keeps this descriptor. */
int file_set_inherit(int fd, bool on, struct err *err);
