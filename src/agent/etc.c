#include "agent/etc.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

static int open_etc(int *ret_fd, struct err *err)
{
	int fd;

	if (mkdir("/etc", 0755) < 0 && errno != EEXIST)
		return err_sys(err, "create /etc");
	fd = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, "open /etc");
	*ret_fd = fd;
	return 0;
}

int etc_read(const char *name, char **ret_text, struct err *err)
{
	auto_close int etc = -1;

	if (open_etc(&etc, err) < 0)
		return -1;
	if (file_read(etc, name, ETC_FILE_MAX, ret_text, NULL, err) == 0)
		return 0;
	if (err->code != ERR_NOT_FOUND)
		return err_wrap(err, "/etc");
	err->code = ERR_NONE;
	*ret_text = xstrdup("");
	return 0;
}

int etc_write(const char *name, const char *text, mode_t mode, struct err *err)
{
	auto_close int etc = -1;
	auto_free char *old = NULL;
	struct err ignored = ERR_INIT;
	struct stat st;
	bool existed;

	if (open_etc(&etc, err) < 0)
		return -1;
	existed = fstatat(etc, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
	if (existed && file_read(etc, name, ETC_FILE_MAX, &old, NULL, &ignored) == 0 &&
	    strcmp(old, text) == 0)
		return 0;
	if (existed)
		mode = st.st_mode & 07777;
	if (file_write_atomic(etc, name, text, strlen(text), mode, err) < 0)
		return err_wrap(err, "/etc");
	/* The mode again: the umask took part in the first. */
	if (existed && (fchownat(etc, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
			fchmodat(etc, name, mode, 0) < 0))
		return err_sys(err, "/etc/%s", name);
	return 0;
}
