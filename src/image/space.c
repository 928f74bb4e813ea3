#include "image/space.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define LOG_MAX ((size_t)16 << 20)

static unsigned long long mib(uint64_t bytes)
{
	return (unsigned long long)((bytes + (1 << 20) - 1) >> 20);
}

int space_check(const char *path, uint64_t needed, struct err *err)
{
	struct statvfs fs;
	uint64_t free;

	if (statvfs(path, &fs) < 0)
		return err_sys(err, "%s", path);
	free = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (free >= needed)
		return 0;
	return err_set(
	    err, ERR_SYSTEM,
	    "no room in %s: %llu MiB are needed, %llu MiB are free, %llu MiB are missing", path,
	    mib(needed), mib(free), mib(needed - free));
}

int space_explain(const char *path, uint64_t needed, const char *log_path, struct err *err)
{
	auto_free char *log = NULL;
	struct err ignored = ERR_INIT;

	if (file_read(AT_FDCWD, log_path, LOG_MAX, &log, NULL, &ignored) == 0 &&
	    (strstr(log, strerror(ENOSPC)) || strstr(log, "No space left")))
		return err_set(err, ERR_SYSTEM,
			       "the file system of %s became full: up to %llu MiB are needed while "
			       "the image is made",
			       path, mib(needed));
	/* The place of the log goes last, where it is not cut off the reason. */
	size_t used = strlen(err->text);
	(void)snprintf(err->text + used, sizeof(err->text) - used, " (all it said: %s)", log_path);
	return -1;
}
