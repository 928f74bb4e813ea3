#include "base/tree.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static int remove_at(int dir, const char *name, dev_t device, unsigned depth, struct err *err);

static int remove_children(int dir, const char *name, dev_t device, unsigned depth, struct err *err)
{
	DIR *stream = file_list(dir, name);
	const struct dirent *entry;
	int result = 0;

	if (!stream)
		return err_sys(err, "remove %s", name);
	int own = dirfd(stream);
	while (result == 0 && (entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			result = remove_at(own, entry->d_name, device, depth + 1, err);
	(void)closedir(stream);
	return result;
}

static int remove_at(int dir, const char *name, dev_t device, unsigned depth, struct err *err)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(err, "remove %s", name);
	if (!S_ISDIR(st.st_mode))
		return file_remove(dir, name, err);
	if (st.st_dev != device)
		return err_set(err, ERR_BUSY, "remove %s: another file system is mounted there",
			       name);
	if (depth > TREE_DEPTH_MAX)
		return err_set(err, ERR_INVALID, "remove %s: more than %d directories deep", name,
			       TREE_DEPTH_MAX);
	if (remove_children(dir, name, device, depth, err) < 0)
		return -1;
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 ? err_sys(err, "remove %s", name) : 0;
}

int tree_remove(int dir, const char *name, struct err *err)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(err, "remove %s", name);
	return remove_at(dir, name, st.st_dev, 0, err);
}

#define COUNT_MAX 100000 /* files; a guest can make many */
#define BLOCK	  512

struct count {
	dev_t device;
	uint64_t bytes;
	size_t left;
};

static void count_at(struct count *count, int dir, const char *name, unsigned depth)
{
	struct stat st;

	if (count->left == 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    st.st_dev != count->device)
		return;
	count->left--;
	count->bytes += (uint64_t)st.st_blocks * BLOCK;
	if (!S_ISDIR(st.st_mode) || depth > TREE_DEPTH_MAX)
		return;
	DIR *stream = file_list(dir, name);
	const struct dirent *entry;
	if (!stream)
		return;
	while ((entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			count_at(count, dirfd(stream), entry->d_name, depth + 1);
	(void)closedir(stream);
}

uint64_t tree_bytes(int dir, const char *name)
{
	struct count count = {.left = COUNT_MAX};
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	count.device = st.st_dev;
	count_at(&count, dir, name, 0);
	return count.bytes;
}
