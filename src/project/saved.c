#include "project/saved.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 512

bool saved_is_there(int data_dir, uint64_t *ret_bytes)
{
	static const char *const names[] = {SAVED_MANIFEST, SAVED_RAM, SAVED_DEVICES, SAVED_SHARE};
	auto_close int dir =
	    openat(data_dir, SAVED_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	uint64_t bytes = 0;
	bool there = false;
	struct stat st;

	for (size_t i = 0; dir >= 0 && i < ARRAY_SIZE(names); i++) {
		if (fstatat(dir, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		bytes += (uint64_t)st.st_blocks * BLOCK;
		there |= i == 0;
	}
	if (ret_bytes)
		*ret_bytes = bytes;
	return there;
}

int saved_remove(int data_dir, struct err *err)
{
	static const char *const names[] = {SAVED_RAM, SAVED_DEVICES, SAVED_SHARE};
	auto_close int dir = -1;

	if (file_open_dir(data_dir, SAVED_DIR, &dir, err) < 0)
		return err->code == ERR_NOT_FOUND ? 0 : -1;
	/* First, and for good, what makes the rest count. */
	if (file_remove(dir, SAVED_MANIFEST, err) < 0 || file_sync(dir, SAVED_DIR, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)unlinkat(dir, names[i], 0);
	file_sweep(dir);
	return 0;
}
