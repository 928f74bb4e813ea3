#include "guest/file.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int guest_file_open(int dir, const char *name, const char *label, int flags, off_t max, int *ret_fd,
		    struct err *err)
{
	auto_close int fd = openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return err_set(err, ERR_NOT_FOUND,
			       "%s is missing: `dxvm install` makes the VM anew", label);
	if (fd < 0 && errno == ELOOP)
		return err_set(err, ERR_INVALID, "%s is a symbolic link, which is not followed",
			       label);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "open %s", label);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s is not a regular file", label);
	if (st.st_uid != geteuid() && geteuid() != 0)
		return err_set(err, ERR_INVALID, "%s belongs to user %lu, not to you", label,
			       (unsigned long)st.st_uid);
	if (st.st_size == 0 || st.st_size > max)
		return err_set(err, ERR_INVALID,
			       "%s has %lld bytes; between 1 and %lld are allowed", label,
			       (long long)st.st_size, (long long)max);
	if (file_set_nonblock(fd, false, err) < 0)
		return err_wrap(err, "%s", label);
	*ret_fd = take_fd(&fd);
	return 0;
}
