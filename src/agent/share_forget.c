#include "agent/share_forget.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A reconfiguration that changes nothing. Before anything else the kernel drops the names of the
 * file system that are not in use, and FUSE keeps no inode without a name. */
int share_forget_names(const char *path, struct err *err)
{
	auto_close int fd = (int)syscall(SYS_fspick, AT_FDCWD, path, FSPICK_CLOEXEC);

	if (fd < 0 || syscall(SYS_fsconfig, fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
		return err_sys(err, "drop what is known of %s", path);
	return 0;
}
