#include "image/install.h"

#include "base/file.h"
#include "base/mem.h"
#include "image/base_image.h"
#include "image/cancel.h"
#include "image/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Clones base/`from` to data/`to`, at least `size` bytes long. */
static int put(int base, const char *from, int data, const char *to, uint64_t size, struct err *err)
{
	auto_free char *part = xasprintf("%s.part", to);
	auto_close int source = openat(base, from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (source < 0 || fstat(source, &st) < 0)
		return err_sys(err, "base image: %s", from);
	if (size != 0 && size < (uint64_t)st.st_size)
		return err_set(
		    err, ERR_USAGE, "a disk of %llu MiB is too small: this guest needs %llu MiB",
		    (unsigned long long)size >> 20, (unsigned long long)st.st_size >> 20);
	if (unlinkat(data, part, 0) < 0 && errno != ENOENT)
		return err_sys(err, "remove %s", part);
	auto_close int target =
	    openat(data, part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (target < 0)
		return err_sys(err, "create %s", part);
	if (file_clone(source, target, err) < 0)
		(void)err_wrap(err, "%s", to);
	else if (size != 0 && ftruncate(target, (off_t)size) < 0)
		(void)err_sys(err, "%s: set size", to);
	else if (fsync(target) < 0)
		(void)err_sys(err, "%s: sync", to);
	else if (cancel_check(err) == 0 && renameat(data, part, data, to) < 0)
		(void)err_sys(err, "%s: rename", to);
	if (err->code == ERR_NONE)
		return 0;
	(void)unlinkat(data, part, 0);
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

static int put_all(const struct install *install, int base, int data, struct err *err)
{
	if (mkdirat(data, "boot", 0700) < 0 && errno != EEXIST)
		return err_sys(err, "create boot");
	auto_close int boot = -1;
	if (file_open_dir(data, "boot", &boot, err) < 0 ||
	    put(base, "kernel", boot, "kernel", 0, err) < 0 ||
	    put(base, "initrd", boot, "initrd", 0, err) < 0)
		return -1;
	if (install->recipe->has_disk &&
	    put(base, "rootfs.img", data, "disk.img", install->size, err) < 0)
		return -1;
	return fsync(boot) < 0 || fsync(data) < 0 ? err_sys(err, "sync") : 0;
}

int install_run(const struct install *install, struct err *err)
{
	auto_close int data = -1;
	auto_close int base = -1;

	if (file_mkdirs(install->data, 0700, err) < 0 ||
	    file_open_dir(AT_FDCWD, install->data, &data, err) < 0 ||
	    check_disk(install, data, err) < 0 || file_mkdirs(install->state, 0700, err) < 0)
		return -1;
	/* apt takes only absolute paths. */
	auto_free char *state = realpath(install->state, NULL);
	if (!state)
		return err_sys(err, "%s", install->state);
	if (base_image_open(install->recipe, state, &base, err) < 0)
		return -1;
	progress_stage("copying the base image");
	if (put_all(install, base, data, err) < 0)
		return err_wrap(err, "install into %s", install->data);
	return 0;
}
