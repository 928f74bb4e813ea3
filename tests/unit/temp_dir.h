#pragma once
/* A directory of a test's own, removed at the end of its scope. */
#include "base/cleanup.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct temp_dir {
	char path[64];
	int fd;
};

static inline int temp_dir_remove_one(const char *path, const struct stat *st, int flag,
				      struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void temp_dir_done(struct temp_dir *dir)
{
	(void)close(dir->fd);
	(void)nftw(dir->path, temp_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct temp_dir temp_dir_make(void)
{
	struct temp_dir dir = {.path = "/tmp/dxvm-unit-XXXXXX"};

	if (!mkdtemp(dir.path))
		abort();
	dir.fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir.fd < 0)
		abort();
	return dir;
}

static inline void temp_dir_put(const struct temp_dir *dir, const char *name, const void *data,
				size_t length)
{
	int fd = openat(dir->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, data, length) != (ssize_t)length)
		abort();
	(void)close(fd);
}

static inline void temp_dir_put_text(const struct temp_dir *dir, const char *name, const char *text)
{
	temp_dir_put(dir, name, text, strlen(text));
}

#define auto_temp_dir CLEANUP(temp_dir_done)
