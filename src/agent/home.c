#include "agent/home.h"

#include "agent/accounts.h"
#include "agent/etc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define SKEL	       "/etc/skel"
#define SKEL_FILE_MAX  ((size_t)1 << 20)
#define NIX	       "/nix"
#define WALK_DEPTH_MAX 64

static int update(const char *name, mode_t mode, bool must_exist, const struct account *account,
		  char *(*edit)(const char *text, const struct account *account), struct err *err)
{
	auto_free char *old = NULL;
	auto_free char *text = NULL;

	if (etc_read(name, &old, err) < 0)
		return -1;
	if (!*old && must_exist)
		return 0;
	text = edit(old, account);
	return etc_write(name, text, mode, err);
}

static char *accounts_gshadow(const char *text, const struct account *account)
{
	auto_free char *line = xasprintf("%s:!::", account->name);
	size_t length = strlen(account->name) + 1;

	for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n')
		if (strncmp(at, line, length) == 0)
			return xstrdup(text);
	return xasprintf("%s%s\n", text, line);
}

int home_make_account(const struct message_configure *configure, struct err *err)
{
	auto_free char *home = xasprintf("/home/%s", configure->user);
	auto_free char *rule = xasprintf("%s ALL=(ALL:ALL) NOPASSWD: ALL\n", configure->user);
	const char *usual =
	    access(USER_PREFERRED_SHELL, X_OK) == 0 ? USER_PREFERRED_SHELL : USER_FALLBACK_SHELL;
	const struct account account = {
	    .name = configure->user,
	    .uid = configure->uid,
	    .gid = configure->gid,
	    .home = home,
	    .shell = *configure->shell ? configure->shell : usual,
	};

	if (strcmp(configure->user, "root") == 0)
		return 0;
	if (!accounts_name_will_do(configure->user) || configure->uid == 0 ||
	    strpbrk(account.shell, ":\n"))
		return err_set(err, ERR_INVALID, "no account can be made for \"%s\", uid %u",
			       configure->user, configure->uid);
	if (update("group", 0644, false, &account, accounts_group, err) < 0 ||
	    update("gshadow", 0640, true, &account, accounts_gshadow, err) < 0 ||
	    update("shadow", 0640, false, &account, accounts_shadow, err) < 0 ||
	    update("passwd", 0644, false, &account, accounts_passwd, err) < 0)
		return -1;
	if (access("/etc/sudoers.d", F_OK) == 0)
		return etc_write("sudoers.d/dxvm", rule, 0440, err);
	return 0;
}

int home_mkdirs(const struct user *user, const char *path, struct err *err)
{
	auto_free char *partial = xstrdup(path);
	size_t home = strlen(user->home);

	for (char *slash = strchr(partial + 1, '/');; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = '\0';
		if (mkdir(partial, 0755) == 0) {
			if (strncmp(partial, user->home, home) == 0 && partial[home] == '/' &&
			    lchown(partial, user->uid, user->gid) < 0)
				return err_sys(err, "owner of %s", partial);
		} else if (errno != EEXIST) {
			return err_sys(err, "create %s", partial);
		}
		if (!slash)
			return 0;
		*slash = '/';
	}
}

static int copy_skeleton_file(int skel, const char *name, int home, const struct user *user,
			      struct err *err)
{
	auto_free char *text = NULL;
	size_t length;

	/* It is there where a first time was cut off. */
	if (faccessat(home, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
	    (file_read(skel, name, SKEL_FILE_MAX, &text, &length, err) < 0 ||
	     file_write_atomic(home, name, text, length, 0644, err) < 0))
		return -1;
	if (fchownat(home, name, user->uid, user->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, "owner of %s", name);
	return 0;
}

static void copy_skeleton(const struct user *user)
{
	auto_close int home = open(user->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *skel = opendir(SKEL);
	const struct dirent *entry;
	struct err err = ERR_INIT;

	while (home >= 0 && skel && (entry = readdir(skel)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    copy_skeleton_file(dirfd(skel), entry->d_name, home, user, &err) < 0)
			log_warn("home", "%s", err.text);
	if (skel)
		(void)closedir(skel);
}

static int make_home(const struct user *user, struct err *err)
{
	struct stat st;

	/* The owner comes last: a home that is still root's was not finished. */
	if (stat(user->home, &st) == 0 && (st.st_uid != 0 || user->uid == 0))
		return 0;
	if (file_mkdirs(user->home, 0755, err) < 0)
		return -1;
	copy_skeleton(user);
	if (lchown(user->home, user->uid, user->gid) < 0)
		return err_sys(err, "owner of %s", user->home);
	return 0;
}

static int make_runtime_directory(const struct user *user, struct err *err)
{
	auto_free char *path = xasprintf("/run/user/%lu", (unsigned long)user->uid);

	if (file_mkdirs("/run/user", 0755, err) < 0)
		return -1;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_sys(err, "create %s", path);
	if (lchown(path, user->uid, user->gid) < 0)
		return err_sys(err, "owner of %s", path);
	return 0;
}

/* Gives a tree away, the top last, so that an interrupted walk is done again. */
static int give_away(int dir, const char *name, const struct user *user, int depth,
		     struct err *err);

static int give_entries(int dir, const struct user *user, int depth, struct err *err)
{
	DIR *stream = fdopendir(dir);
	const struct dirent *entry;
	int result = 0;

	if (!stream) {
		(void)close(dir);
		return err_sys(err, "read a directory of " NIX);
	}
	while (result == 0 && (entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			result = give_away(dir, entry->d_name, user, depth + 1, err);
	(void)closedir(stream);
	return result;
}

static int give_away(int dir, const char *name, const struct user *user, int depth, struct err *err)
{
	int child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (child >= 0 && depth < WALK_DEPTH_MAX) {
		if (give_entries(child, user, depth, err) < 0)
			return -1;
	} else if (child >= 0) {
		(void)close(child);
	}
	if (fchownat(dir, name, user->uid, user->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, "owner of %s in " NIX, name);
	return 0;
}

int home_make(const struct user *user, struct err *err)
{
	return make_home(user, err) < 0 ? -1 : make_runtime_directory(user, err);
}

static bool is_empty(const char *path)
{
	DIR *stream = opendir(path);
	const struct dirent *entry;
	bool empty = stream || errno == ENOENT;

	while (stream && empty && (entry = readdir(stream)))
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	if (stream)
		(void)closedir(stream);
	return empty;
}

int home_give_nix(const struct user *user, struct err *err)
{
	struct stat st;

	if (user->uid != 0 && lstat(NIX, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == 0 &&
	    is_empty(NIX "/store"))
		return give_away(AT_FDCWD, NIX, user, 0, err);
	return 0;
}
