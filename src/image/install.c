#include "image/install.h"

#include "base/file.h"
#include "base/mem.h"
#include "image/base_image.h"
#include "image/cancel.h"
#include "image/progress.h"
#include "image/space.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* A clone of `source`, longer where `size` says so, on the disk when it returns. */
static int fill(int source, int target, uint64_t size, struct err *err)
{
	if (file_clone(source, target, err) < 0)
		return -1;
	if ((size != 0 && file_set_size(target, (off_t)size, err) < 0) ||
	    file_sync(target, "it", err) < 0)
		return -1;
	return cancel_check(err);
}

/* Clones base/`from` to `directory`/`to`. */
static int put(const struct install *install, int base, const char *from, int directory,
	       const char *to, uint64_t size, struct err *err)
{
	auto_free char *part = xasprintf("%s" FILE_PART, to);
	auto_close int source = openat(base, from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (source < 0 || fstat(source, &st) < 0)
		return err_sys(err, "base image: %s", from);
	if (size != 0 && size < (uint64_t)st.st_size)
		return err_set(
		    err, ERR_USAGE, "a disk of %llu MiB is too small: this guest needs %llu MiB",
		    (unsigned long long)size >> 20, (unsigned long long)st.st_size >> 20);
	auto_close int target = -1;
	if (file_create(directory, part, 0600, &target, err) < 0)
		return -1;
	if (fill(source, target, size, err) == 0 && file_rename(directory, part, to, err) == 0)
		return 0;
	(void)err_wrap(err, "%s", to);
	close_fd(&target);
	(void)unlinkat(directory, part, 0);
	/* How much is missing says more than that something is. */
	if (err->sys == ENOSPC)
		(void)space_check(install->data, (uint64_t)st.st_blocks * 512, err);
	return -1;
}

static int check_disk(const struct install *install, int data, struct err *err)
{
	struct stat st;

	if (install->force || fstatat(data, "disk.img", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return err_set(err, ERR_EXISTS,
		       "%s/disk.img is there already and is not overwritten: "
		       "--force replaces it and all that is on it",
		       install->data);
}

/* Without the file `guest` there is no VM, until this one is complete. */
static int put_all(const struct install *install, int base, int data, struct err *err)
{
	auto_close int boot = -1;

	if (file_remove(data, "guest", err) < 0 || file_mkdir(data, "boot", 0700, NULL, err) < 0 ||
	    file_open_dir(data, "boot", &boot, err) < 0 ||
	    put(install, base, "kernel", boot, "kernel", 0, err) < 0 ||
	    put(install, base, "initrd", boot, "initrd", 0, err) < 0)
		return -1;
	if (install->recipe->has_disk &&
	    put(install, base, "rootfs.img", data, "disk.img", install->size, err) < 0)
		return -1;
	return file_sync(boot, "boot", err) < 0 || file_sync(data, "the directory", err) < 0 ? -1
											     : 0;
}

int install_open(const struct install *install, int *ret_data, char **ret_state, struct err *err)
{
	auto_close int data = -1;

	if (file_mkdirs(install->data, 0700, err) < 0 ||
	    file_open_dir(AT_FDCWD, install->data, &data, err) < 0 ||
	    check_disk(install, data, err) < 0 || file_mkdirs(install->state, 0700, err) < 0)
		return -1;
	/* apt takes only absolute paths. */
	*ret_state = realpath(install->state, NULL);
	if (!*ret_state)
		return err_sys(err, "%s", install->state);
	*ret_data = take_fd(&data);
	return 0;
}

int install_run(const struct install *install, struct err *err)
{
	auto_close int data = -1;
	auto_close int base = -1;
	auto_free char *state = NULL;

	if (install_open(install, &data, &state, err) < 0 ||
	    base_image_open(install->recipe, state, &base, err) < 0)
		return -1;
	progress_stage("copying the base image");
	if (put_all(install, base, data, err) < 0)
		return err_wrap(err, "install into %s", install->data);
	return 0;
}
