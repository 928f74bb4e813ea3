#include "agent/mounts.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define MOUNTINFO_MAX ((size_t)1 << 20)
#define MOUNTS_MAX    4096

struct mount {
	const char *type;
	const char *path;
	unsigned long flags;
	const char *options;
};

#define FLAGS_SAFE  (MS_NOSUID | MS_NODEV)
#define FLAGS_PLAIN (FLAGS_SAFE | MS_NOEXEC)

static const struct mount early[] = {
    {"proc", "/proc", FLAGS_PLAIN, NULL},
    {"sysfs", "/sys", FLAGS_PLAIN, NULL},
    {"devtmpfs", "/dev", MS_NOSUID, "mode=755"},
};

static const struct mount late[] = {
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"},
    {"tmpfs", "/dev/shm", FLAGS_SAFE, "mode=1777"},
    {"mqueue", "/dev/mqueue", FLAGS_PLAIN, NULL},
    {"tmpfs", "/run", FLAGS_SAFE, "mode=755,size=25%"},
    {"cgroup2", "/sys/fs/cgroup", FLAGS_PLAIN, "nsdelegate"},
};

static const struct mount tmp = {"tmpfs", "/tmp", FLAGS_SAFE, "mode=1777"};

static const struct {
	const char *path;
	const char *target;
} links[] = {
    {"/dev/fd", "/proc/self/fd"},
    {"/dev/stdin", "/proc/self/fd/0"},
    {"/dev/stdout", "/proc/self/fd/1"},
    {"/dev/stderr", "/proc/self/fd/2"},
};

static void do_mount(const struct mount *mount_)
{
	(void)mkdir(mount_->path, 0755);
	if (mount(mount_->type, mount_->path, mount_->type, mount_->flags, mount_->options) < 0 &&
	    errno != EBUSY)
		log_warn("mounts", "%s on %s: %s", mount_->type, mount_->path, strerror(errno));
}

void mounts_early(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(early); i++)
		do_mount(&early[i]);
}

void mounts_late(bool tiny)
{
	for (size_t i = 0; i < ARRAY_SIZE(late); i++)
		do_mount(&late[i]);
	if (tiny)
		do_mount(&tmp);
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (symlink(links[i].target, links[i].path) < 0 && errno != EEXIST)
			log_warn("mounts", "%s: %s", links[i].path, strerror(errno));
	(void)mkdir("/run/lock", 0755);
	(void)chmod("/run/lock", 01777);
	(void)mkdir("/run/user", 0755);
}

/* The kernel writes space, tab, newline and backslash in paths as \ and three octal digits. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
			*to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

static bool is_kernels_own(const char *path)
{
	static const char *const roots[] = {"/proc", "/sys", "/dev"};

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		size_t n = strlen(roots[i]);

		if (strncmp(path, roots[i], n) == 0 && (path[n] == '/' || path[n] == '\0'))
			return true;
	}
	return false;
}

/* One line: "36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 - ext3 /dev/root rw" (proc(5)). */
static char *take_path(char *line, bool *ret_is_fuse)
{
	char *save = NULL;
	const char *type = strstr(line, " - ");
	char *field;

	*ret_is_fuse = type && strncmp(type + 3, "fuse", 4) == 0;
	field = strtok_r(line, " ", &save);
	for (int i = 0; field && i < 4; i++)
		field = strtok_r(NULL, " ", &save);
	if (field)
		unescape(field);
	return field;
}

static void unmount_all(char *text)
{
	const char *paths[MOUNTS_MAX];
	size_t count = 0;
	char *save = NULL;
	bool is_fuse;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *path = take_path(line, &is_fuse);

		if (!path || strcmp(path, "/") == 0 || is_kernels_own(path))
			continue;
		/* Away with what hangs on a share before anything looks a path up inside it. */
		if (is_fuse)
			(void)umount2(path, MNT_DETACH);
		else if (count < MOUNTS_MAX)
			paths[count++] = path;
	}
	while (count > 0) {
		count--;
		if (umount2(paths[count], UMOUNT_NOFOLLOW) < 0 && errno == EBUSY)
			(void)mount(NULL, paths[count], NULL, MS_REMOUNT | MS_RDONLY, NULL);
	}
}

void mounts_end_all(void)
{
	auto_free char *text = NULL;
	struct err err = ERR_INIT;

	if (file_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL, &err) == 0)
		unmount_all(text);
	else
		log_warn("mounts", "%s", err.text);
	sync();
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0) {
		log_warn("mounts", "/ stays writable: %s", strerror(errno));
		mounts_emergency();
	}
}

void mounts_emergency(void)
{
	auto_close int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, "u", 1);
}
