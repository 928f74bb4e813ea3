#include "project/registry.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ENTRY_MAX (PATH_MAX + 128)
#define KNOWN_MAX 100000 /* VMs of one user */

/* Opens <state>/registry, made if `make`. ERR_NOT_FOUND: there is none yet. */
static int open_registry(bool make, int *ret_dir, struct err *err)
{
	auto_free char *state = path_state_dir(err);
	auto_free char *path = state ? path_join(state, "registry") : NULL;

	if (!path || (make && file_mkdirs(path, 0700, err) < 0) ||
	    file_open_dir(AT_FDCWD, path, ret_dir, err) < 0)
		return -1;
	return 0;
}

static int read_entry(int dir, const char *id, struct registered *ret_known, struct err *err)
{
	auto_free char *entry = NULL;
	const char *at;
	struct file_id directory;

	if (file_read(dir, id, ENTRY_MAX, &entry, NULL, err) < 0)
		return -1;
	at = entry;
	if (!number_skip(&at, "device ") || !number_take(&at, 10, UINT64_MAX, &directory.device) ||
	    !number_skip(&at, "\ninode ") || !number_take(&at, 10, UINT64_MAX, &directory.inode) ||
	    !number_skip(&at, "\nborn ") || !number_take(&at, 10, UINT64_MAX, &directory.born_ns) ||
	    !number_skip(&at, "\npath ") || at[0] != '/')
		return err_set(err, ERR_INVALID,
			       "the registry entry %s is damaged or of another dxvm; `dxvm adopt` "
			       "makes it anew",
			       id);
	*ret_known = (struct registered){.path = xstrdup(at), .directory = directory};
	(void)snprintf(ret_known->id, sizeof(ret_known->id), "%s", id);
	return 0;
}

static int unknown(const char *path, struct err *err)
{
	return err_set(
	    err, ERR_INVALID,
	    "%s was not made by dxvm on this machine for you: it may come from a repository "
	    "or a copy. If you trust what is in it, `dxvm adopt`; else remove it",
	    path);
}

int registry_check(const char *path, int data_dir, const struct identity *identity, struct err *err)
{
	struct registered known = {0};
	auto_close int dir = -1;
	struct file_id id;
	bool same;

	if (file_id_get(data_dir, "", &id) < 0)
		return err_sys(err, "%s", path);
	if (open_registry(false, &dir, err) < 0 || read_entry(dir, identity->hex, &known, err) < 0)
		return err->code == ERR_NOT_FOUND ? unknown(path, err) : -1;
	same = file_id_equal(&known.directory, &id);
	bool moved = strcmp(known.path, path) != 0;
	free(known.path);
	if (!same)
		return unknown(path, err);
	return moved ? registry_add(path, data_dir, identity, err) : 0;
}

static bool is_id(const char *name)
{
	return strlen(name) == 32 && strspn(name, "0123456789abcdef") == 32;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct registered *)a)->path, ((const struct registered *)b)->path);
}

/* Reads all entries; those that cannot be read are passed over. */
static size_t read_all(int dir_fd, struct registered **ret_all)
{
	DIR *dir = file_list(dir_fd, ".");
	struct registered *all = NULL;
	const struct dirent *entry;
	size_t count = 0;

	if (!dir)
		return 0;
	while (count < KNOWN_MAX && (entry = readdir(dir))) {
		struct err ignored = ERR_INIT;

		if (!is_id(entry->d_name))
			continue;
		all = xrealloc(all, (count + 1) * sizeof(*all));
		if (read_entry(dir_fd, entry->d_name, &all[count], &ignored) == 0)
			count++;
	}
	(void)closedir(dir);
	if (count)
		qsort(all, count, sizeof(*all), by_path);
	*ret_all = all;
	return count;
}

static void free_all(struct registered *all, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(all[i].path);
	free(all);
}

/* What is known of one directory, by what it is; of one that is gone, by where it was. */
struct wanted {
	const char *path;
	bool gone;
	struct file_id directory;
};

static int want(const char *path, int data_dir, struct wanted *ret_wanted, struct err *err)
{
	struct file_id id = {.inode = 0};

	if (data_dir >= 0 && file_id_get(data_dir, "", &id) < 0)
		return err_sys(err, "%s", path);
	*ret_wanted = (struct wanted){.path = path, .gone = data_dir < 0, .directory = id};
	return 0;
}

static bool is_wanted(const struct wanted *wanted, const struct registered *known)
{
	if (wanted->gone)
		return strcmp(known->path, wanted->path) == 0;
	return file_id_equal(&known->directory, &wanted->directory);
}

/* Removes every entry of it but `keep`, which may be NULL. */
static int forget_others(int dir, const struct wanted *wanted, const char *keep, struct err *err)
{
	struct registered *all = NULL;
	size_t count = read_all(dir, &all);
	int result = 0;

	for (size_t i = 0; result == 0 && i < count; i++)
		if (is_wanted(wanted, &all[i]) && !(keep && strcmp(all[i].id, keep) == 0))
			result = file_remove(dir, all[i].id, err);
	free_all(all, count);
	return result;
}

int registry_add(const char *path, int data_dir, const struct identity *identity, struct err *err)
{
	auto_close int dir = -1;
	auto_close int lock = -1;
	struct wanted wanted;

	if (want(path, data_dir, &wanted, err) < 0)
		return -1;
	if (open_registry(true, &dir, err) < 0 || file_lock_dir(dir, true, &lock, err) < 0)
		return err_wrap(err, "registry of VMs");
	file_sweep(dir);
	/* The path last and to the end: it may contain anything but NUL. */
	auto_free char *entry = xasprintf(
	    "device %" PRIu64 "\ninode %" PRIu64 "\nborn %" PRIu64 "\npath %s",
	    wanted.directory.device, wanted.directory.inode, wanted.directory.born_ns, path);
	if (file_write_atomic(dir, identity->hex, entry, strlen(entry), 0600, err) < 0 ||
	    forget_others(dir, &wanted, identity->hex, err) < 0)
		return err_wrap(err, "registry of VMs");
	return 0;
}

int registry_forget(const char *path, int data_dir, struct err *err)
{
	auto_close int dir = -1;
	auto_close int lock = -1;
	struct wanted wanted;

	if (want(path, data_dir, &wanted, err) < 0)
		return -1;
	if (open_registry(false, &dir, err) < 0)
		return err->code == ERR_NOT_FOUND ? 0 : -1;
	if (file_lock_dir(dir, true, &lock, err) < 0 || forget_others(dir, &wanted, NULL, err) < 0)
		return err_wrap(err, "registry of VMs");
	return 0;
}

int registry_forget_known(const struct registered *known, struct err *err)
{
	struct registered now = {.path = NULL};
	auto_close int dir = -1;
	auto_close int lock = -1;
	bool same;

	if (open_registry(false, &dir, err) < 0 || file_lock_dir(dir, true, &lock, err) < 0)
		return err_wrap(err, "registry of VMs");
	if (read_entry(dir, known->id, &now, err) < 0)
		return err->code == ERR_NOT_FOUND ? 0 : -1;
	same = file_id_equal(&now.directory, &known->directory);
	free(now.path);
	return same ? file_remove(dir, known->id, err) : 0;
}

bool registry_has(const char *path, int data_dir)
{
	struct registered *all = NULL;
	struct err ignored = ERR_INIT;
	auto_close int dir = -1;
	struct wanted wanted;
	bool has = false;
	size_t count;

	if (want(path, data_dir, &wanted, &ignored) < 0 || open_registry(false, &dir, &ignored) < 0)
		return false;
	count = read_all(dir, &all);
	for (size_t i = 0; !has && i < count; i++)
		has = is_wanted(&wanted, &all[i]);
	free_all(all, count);
	return has;
}

int registry_each(int (*each)(void *ctx, const struct registered *known, struct err *err),
		  void *ctx, struct err *err)
{
	auto_close int dir = -1;
	struct registered *all = NULL;
	size_t count;
	int result = 0;

	if (open_registry(false, &dir, err) < 0)
		return err->code == ERR_NOT_FOUND ? 0 : -1;
	count = read_all(dir, &all);
	for (size_t i = 0; result >= 0 && i < count; i++)
		result = each(ctx, &all[i], err);
	free_all(all, count);
	return result < 0 ? result : 0;
}
