/*
 * What people have as `devbox` in their PATH is mostly a launcher, a script that downloads devbox
 * itself into ~/.cache/devbox/bin/VERSION_linux_PROCESSOR/ and runs it from there. Whether a file
 * is good for a guest is asked of its first bytes (base/elf.h), not of its name. It is copied, since
 * the directory it lies in is nobody's business, and looked at anew at each start: a file in the
 * place of another, or touched, is another devbox.
 */
#include "project/tools.h"

#include "base/elf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TOOLS	    "tools"
#define LOCK	    "lock"
#define PART	    TOOLS_DEVBOX ".part"
#define PROGRAM_MAX ((off_t)512 << 20)
#define FROM_MAX    ((size_t)8192)

struct found {
	int fd;
	char *path;
	struct stat st;
};

static void found_done(struct found *found)
{
	cleanup_close(&found->fd);
	free(found->path);
}

/* The share server may be somebody else than we are. */
static int show(int fd, const char *name, struct err *err)
{
	return fchmod(fd, 0755) < 0 ? err_sys(err, "%s: let guests see it", name) : 0;
}

int tools_open(int *ret_dir, struct err *err)
{
	auto_free char *state = path_state_dir(err);
	auto_free char *path = state ? path_join(state, TOOLS) : NULL;
	auto_close int dir = -1;

	if (!path || file_mkdirs(path, 0755, err) < 0 ||
	    file_open_dir(AT_FDCWD, path, &dir, err) < 0 || show(dir, path, err) < 0)
		return -1;
	*ret_dir = take_fd(&dir);
	return 0;
}

/* Links are fine: this is what the person runs. */
static bool try_file(const char *path, struct found *found)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > PROGRAM_MAX ||
	    !elf_is_static(fd))
		return false;
	found->fd = take_fd(&fd);
	found->path = xstrdup(path);
	found->st = st;
	return true;
}

bool tools_wanted(void)
{
	const char *own = getenv("DXVM_DEVBOX");

	return !own || *own;
}

static bool search_path(struct found *found)
{
	const char *path = getenv("PATH");

	for (const char *at = path ? path : ""; *at; at += *at == ':') {
		size_t length = strcspn(at, ":");
		auto_free char *dir = xstrndup(at, length);
		auto_free char *file = path_join(dir, "devbox");

		at += length;
		if (dir[0] == '/' && try_file(file, found))
			return true;
	}
	return false;
}

/* VERSION_linux_PROCESSOR: of the version that is asked for, if any is. */
static bool is_cached(const char *name)
{
	const char *version = getenv("DEVBOX_USE_VERSION");
	auto_free char *end = xasprintf("_linux_%s", elf_processor());
	const size_t length = strlen(name);

	if (length <= strlen(end) || strcmp(name + length - strlen(end), end) != 0)
		return false;
	return !version || !*version ||
	       (strlen(version) == length - strlen(end) &&
		strncmp(name, version, strlen(version)) == 0);
}

static bool is_newer(const struct stat *st, const struct stat *than)
{
	return st->st_mtim.tv_sec > than->st_mtim.tv_sec ||
	       (st->st_mtim.tv_sec == than->st_mtim.tv_sec &&
		st->st_mtim.tv_nsec > than->st_mtim.tv_nsec);
}

/* The newest of the launcher's. */
static bool search_cache(struct found *found)
{
	const char *cache = getenv("XDG_CACHE_HOME");
	auto_free char *home = path_home();
	auto_free char *usual = path_join(home ? home : "/", ".cache");
	auto_free char *path = path_join(cache && cache[0] == '/' ? cache : usual, "devbox/bin");
	DIR *dir = opendir(path);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		auto_free char *file = xasprintf("%s/%s/devbox", path, entry->d_name);
		struct found other = {.fd = -1};

		if (!is_cached(entry->d_name) || !try_file(file, &other))
			continue;
		if (found->fd < 0 || is_newer(&other.st, &found->st)) {
			found_done(found);
			*found = other;
		} else {
			found_done(&other);
		}
	}
	if (dir)
		(void)closedir(dir);
	return found->fd >= 0;
}

static bool is_there(int dir)
{
	struct stat st;

	return fstatat(dir, TOOLS_DEVBOX, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static int copy(int dir, const struct found *found, const char *from, struct err *err)
{
	auto_close int part = -1;

	if (file_create(dir, PART, 0755, &part, err) < 0 || file_clone(found->fd, part, err) < 0 ||
	    show(part, PART, err) < 0 || file_sync(part, "it", err) < 0 ||
	    file_rename(dir, PART, TOOLS_DEVBOX, err) < 0)
		return err_wrap(err, "copy %s for guests", found->path);
	return file_write_atomic(dir, TOOLS_FROM, from, strlen(from), 0644, err);
}

int tools_take_devbox(int dir, bool *ret_there, struct err *err)
{
	const char *own = getenv("DXVM_DEVBOX");
	struct found found CLEANUP(found_done) = {.fd = -1};
	auto_free char *old = NULL;
	auto_close int lock = -1;
	struct err ignored = ERR_INIT;

	if (own && *own && !try_file(own, &found))
		return err_set(err, ERR_INVALID,
			       "DXVM_DEVBOX=%s: no static program for Linux on %s", own,
			       elf_processor());
	if (found.fd < 0 && !search_path(&found) && !search_cache(&found)) {
		*ret_there = is_there(dir);
		return 0;
	}
	auto_free char *from =
	    xasprintf("%s, %lld bytes, of %lld.%09ld\n", found.path, (long long)found.st.st_size,
		      (long long)found.st.st_mtim.tv_sec, (long)found.st.st_mtim.tv_nsec);
	if (file_lock(dir, LOCK, true, &lock, err) < 0)
		return -1;
	(void)file_read(dir, TOOLS_FROM, FROM_MAX, &old, NULL, &ignored);
	if ((!old || strcmp(old, from) != 0 || !is_there(dir)) && copy(dir, &found, from, err) < 0)
		return -1;
	*ret_there = true;
	return 0;
}
