/*
 * Theory of operation. The guest-local directory lies on the guest's own disk and is bound over the
 * one of the same name in the share, so that what depends on the system (sockets, databases, links
 * into the Nix store) is not mixed with the host's. The place in the share is opened without
 * following links, and the mount is made on that very descriptor: a project that ships a link
 * `.devbox -> /etc` must not decide where in the guest something is mounted.
 */
#include "agent/shares.h"

#include "agent/home.h"
#include "agent/link.h"
#include "agent/share_pump.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

#define SHARE_PORT_NAME "org.dxvm.share.0"
#define LOCAL_ROOT	"/var/lib/dxvm/local"
#define WAIT_TRIES	300
#define WAIT_NS		10000000 /* 10 ms: three seconds in all */

static int open_port(int *ret_fd, struct err *err)
{
	const struct timespec pause = {.tv_nsec = WAIT_NS};

	for (int i = 0; i < WAIT_TRIES; i++) {
		if (link_open_port(SHARE_PORT_NAME, ret_fd, err) == 0)
			return 0;
		(void)nanosleep(&pause, NULL);
	}
	return -1;
}

static int start_pump(struct shares *shares, struct err *err)
{
	int fd = shares->port_fd;

	if (shares->pump)
		return 0;
	if (fd < 0 && open_port(&fd, err) < 0)
		return -1;
	shares->port_fd = -1; /* the pump's from here on */
	shares->pump = share_pump_start(fd, err);
	return shares->pump ? 0 : -1;
}

static int open_in_share(const char *path, const char *name, bool make, int *ret_fd,
			 struct err *err)
{
	auto_close int share = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (share < 0)
		return err_sys(err, "%s", path);
	if (make && mkdirat(share, name, 0755) < 0 && errno != EEXIST)
		return err_sys(err, "create %s/%s", path, name);
	fd = openat(share, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, "%s/%s", path, name);
	*ret_fd = fd;
	return 0;
}

/* What devbox makes in there is no work of the user's, and the index is shared with the host. */
static void keep_from_git(const char *local, const struct user *user)
{
	auto_free char *path = path_join(local, ".gitignore");
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	struct err err = ERR_INIT;

	if (fd < 0 && errno == EEXIST)
		return;
	if (fd >= 0 && fchown(fd, user->uid, user->gid) == 0 &&
	    file_write_all(fd, "*\n", 2, &err) == 0)
		return;
	log_warn("shares", "%s could not be made", path);
	(void)unlink(path);
}

static int bind_local(const struct message_share *share, const struct user *user, struct err *err)
{
	auto_free char *local =
	    xasprintf(LOCAL_ROOT "/%u-%s", share->number, path_base(share->path));
	auto_free char *target = NULL;
	auto_close int place = -1;

	if (strchr(share->local, '/') || share->local[0] == '\0' ||
	    strcmp(share->local, "..") == 0 || strcmp(share->local, ".") == 0)
		return err_set(err, ERR_INVALID, "\"%s\" is no name in a share", share->local);
	if (file_mkdirs(local, 0755, err) < 0)
		return -1;
	if (lchown(local, user->uid, user->gid) < 0)
		return err_sys(err, "owner of %s", local);
	keep_from_git(local, user);
	if (open_in_share(share->path, share->local, !share->read_only, &place, err) < 0)
		return -1;
	target = xasprintf("/proc/self/fd/%d", place);
	if (mount(local, target, NULL, MS_BIND, NULL) < 0)
		return err_sys(err, "bind %s/%s", share->path, share->local);
	return 0;
}

bool shares_alias_will_do(const char *alias, const char *path)
{
	static const char *const systems[] = {"bin",   "boot",	"dev",	  "etc", "lib",
					      "lib32", "lib64", "libx32", "nix", "proc",
					      "run",   "sbin",	"sys",	  "usr", "var"};
	size_t first;

	if (alias[0] != '/' || strstr(alias, "/../") || strstr(alias, "//"))
		return false;
	first = strcspn(alias + 1, "/");
	if (first == 0 || alias[1 + first] == '\0')
		return false; /* "/", or a directory in it */
	for (size_t i = 0; i < ARRAY_SIZE(systems); i++)
		if (strlen(systems[i]) == first && strncmp(alias + 1, systems[i], first) == 0)
			return false;
	return strncmp(alias, path, strlen(path)) != 0;
}

int shares_link(const char *alias, const char *path, const struct user *user, struct err *err)
{
	if (symlink(path, alias) < 0)
		return errno == EEXIST ? 0 : err_sys(err, "link %s", alias);
	if (lchown(alias, user->uid, user->gid) < 0)
		return err_sys(err, "owner of %s", alias);
	return 0;
}

/* The host's own path leads to the share as well, where nothing else lies in the way. */
static void make_alias(const struct message_share *share, const struct user *user)
{
	auto_free char *parent = xstrdup(share->alias);
	struct err err = ERR_INIT;

	if (!shares_alias_will_do(share->alias, share->path))
		return;
	*strrchr(parent, '/') = '\0';
	if (home_mkdirs(user, parent, &err) < 0 ||
	    shares_link(share->alias, share->path, user, &err) < 0)
		log_warn("shares", "%s", err.text);
}

static bool is_mounted(const struct shares *shares, uint32_t number)
{
	for (uint32_t i = 0; i < shares->mounted_count; i++)
		if (shares->mounted[i] == number)
			return true;
	return false;
}

static int apply_one(struct shares *shares, const struct message_share *share,
		     const struct user *user, struct err *err)
{
	struct err local_err = ERR_INIT;

	if (shares->mounted_count == MESSAGE_SHARES_MAX)
		return err_set(err, ERR_INVALID, "too many shares");
	if (start_pump(shares, err) < 0 || home_mkdirs(user, share->path, err) < 0 ||
	    share_pump_mount(shares->pump, share->number, share->path, share->read_only, err) < 0)
		return -1;
	shares->mounted[shares->mounted_count++] = share->number;
	if (*share->local && bind_local(share, user, &local_err) < 0)
		log_warn("shares", "%s", local_err.text);
	if (*share->alias)
		make_alias(share, user);
	return 0;
}

int shares_apply(struct shares *shares, const struct message_configure *configure,
		 const struct user *user, struct err *err)
{
	for (uint32_t i = 0; i < configure->share_count; i++) {
		const struct message_share *share = &configure->shares[i];

		if (!is_mounted(shares, share->number) && apply_one(shares, share, user, err) < 0)
			return err_wrap(err, "share %s", share->path);
	}
	return 0;
}

const char *shares_nix_cache(const struct message_configure *configure)
{
	for (uint32_t i = 0; i < configure->share_count; i++) {
		const struct message_share *share = &configure->shares[i];

		if (share->read_only && strcmp(share->path, PROTO_NIX_CACHE) == 0)
			return share->path;
	}
	return NULL;
}
