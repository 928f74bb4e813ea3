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

/* A file of the VM, which has another name until all of them are there. */
struct piece {
	int directory;
	const char *from; /* in the base image */
	const char *to;
	uint64_t size; /* at least; 0: as it is */
};

/* Clones base/`from` to the part of `to`. */
static int put(const struct install *install, int base, const struct piece *piece, struct err *err)
{
	auto_free char *part = xasprintf("%s" FILE_PART, piece->to);
	auto_close int source = openat(base, piece->from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	auto_close int target = -1;
	struct stat st;

	if (source < 0 || fstat(source, &st) < 0)
		return err_sys(err, "base image: %s", piece->from);
	if (piece->size != 0 && piece->size < (uint64_t)st.st_size)
		return err_set(
		    err, ERR_USAGE, "a disk of %llu MiB is too small: this guest needs %llu MiB",
		    (unsigned long long)piece->size >> 20, (unsigned long long)st.st_size >> 20);
	if (file_create(piece->directory, part, 0600, &target, err) < 0)
		return -1;
	if (fill(source, target, piece->size, err) == 0)
		return 0;
	(void)err_wrap(err, "%s", piece->to);
	close_fd(&target);
	(void)unlinkat(piece->directory, part, 0);
	/* How much is missing says more than that something is. */
	if (err->sys == ENOSPC)
		(void)space_check(install->data, (uint64_t)st.st_blocks * 512, err);
	return -1;
}

static int rename_part(const struct piece *piece, struct err *err)
{
	auto_free char *part = xasprintf("%s" FILE_PART, piece->to);

	return file_rename(piece->directory, part, piece->to, err);
}

static void remove_part(const struct piece *piece)
{
	auto_free char *part = xasprintf("%s" FILE_PART, piece->to);

	(void)unlinkat(piece->directory, part, 0);
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

/* All at once, as far as that goes: what is there is a VM until the new one needs only its names, and
 * without the file `guest` there is none until it has them. */
static int put_pieces(const struct install *install, int base, int data, const struct piece *pieces,
		      size_t count, struct err *err)
{
	size_t made = 0;
	int result = 0;

	while (made < count && result == 0)
		if ((result = put(install, base, &pieces[made], err)) == 0)
			made++;
	if (result == 0)
		result = file_remove(data, "guest", err);
	for (size_t i = 0; i < made; i++)
		if (result == 0)
			result = rename_part(&pieces[i], err);
		else
			remove_part(&pieces[i]);
	return result;
}

static int put_all(const struct install *install, int base, int data, struct err *err)
{
	auto_close int boot = -1;

	if (file_mkdir(data, "boot", 0700, NULL, err) < 0 ||
	    file_open_dir(data, "boot", &boot, err) < 0)
		return -1;
	const struct piece pieces[] = {{boot, "kernel", "kernel", 0},
				       {boot, "initrd", "initrd", 0},
				       {data, "rootfs.img", "disk.img", install->size}};
	size_t count = ARRAY_SIZE(pieces) - !install->recipe->has_disk;

	if (put_pieces(install, base, data, pieces, count, err) < 0 ||
	    file_sync(boot, "boot", err) < 0)
		return -1;
	return file_sync(data, "the directory", err);
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
