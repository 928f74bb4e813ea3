#include "supervisor/share_rights.h"

#include "base/mem.h"
#include "base/path.h"
#include "share/boundary.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#ifdef __linux__
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

static int become_owner(int root, int orphans, struct err *err)
{
	struct stat st;

	if (fstat(root, &st) < 0)
		return err_sys(err, "look at the shared directory");
	if (orphans >= 0 && fchown(orphans, st.st_uid, st.st_gid) < 0)
		return err_sys(err, "give the orphans' directory to the owner");
	if (setgroups(1, &st.st_gid) < 0 || setgid(st.st_gid) < 0 || setuid(st.st_uid) < 0)
		return err_sys(err, "become user %lu", (unsigned long)st.st_uid);
	return 0;
}

static int drop_capabilities(struct err *err)
{
#ifdef __linux__
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capset, &header, none) < 0)
		return err_sys(err, "drop capabilities");
#else
	(void)err;
#endif
	return 0;
}

int share_rights_drop(int root, int orphans, struct err *err)
{
	if (geteuid() == 0 && become_owner(root, orphans, err) < 0)
		return -1;
	return drop_capabilities(err);
}

static int path_of(int fd, char *ret_path, struct err *err)
{
#ifdef __APPLE__
	if (fcntl(fd, F_GETPATH, ret_path) < 0)
		return err_sys(err, "find the path of the shared directory");
#else
	char link[32];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, ret_path, PATH_MAX - 1);
	if (n < 0)
		return err_sys(err, "find the path of the shared directory");
	ret_path[n] = '\0';
#endif
	return 0;
}

int share_rights_name_of(int fd, char **ret_name, struct err *err)
{
	char path[PATH_MAX];
	char *last = NULL;
	char *save = NULL;

	if (path_of(fd, path, err) < 0)
		return -1;
	for (char *part = strtok_r(path, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		if (last && boundary_hides(last, part))
			return err_set(err, ERR_INVALID,
				       "a directory inside a .devbox/vm is not "
				       "shared; share another one");
		last = part;
	}
	*ret_name = xstrdup(last ? last : "/");
	return 0;
}
