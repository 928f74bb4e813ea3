#include "image/nixos.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/hash.h"
#include "image/iso.h"
#include "image/nixos_iso.h"
#include "image/progress.h"
#include "image/remove.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int write_text(int directory, const char *name, const char *text, struct err *err)
{
	return file_write_atomic(directory, name, text, strlen(text), 0600, err);
}

static int make_disk(int directory, uint64_t size, struct err *err)
{
	auto_close int disk = openat(directory, "disk.img",
				     O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return disk < 0 || ftruncate(disk, (off_t)size) < 0 ? err_sys(err, "create disk.img") : 0;
}

static int fill(const struct install *install, const char *image, const char *hash, int directory,
		struct err *err)
{
	const char *asked = install->release ? install->release : NIXOS_RELEASE;
	auto_free char *release = NULL;
	auto_free char *line = NULL;
	struct iso iso;
	int result;

	if (iso_open(image, &iso, err) < 0)
		return -1;
	release = nixos_iso_release(iso.volume);
	line = xasprintf("%s\n", release ? release : asked);
	progress_stage("taking the kernel out of the image");
	result = iso_take_boot(&iso, directory, err);
	iso_close(&iso);
	if (result < 0)
		return err_wrap(err, "%s", image);
	if (write_text(directory, "iso", image, err) < 0 ||
	    write_text(directory, "hash", hash, err) < 0 ||
	    write_text(directory, "release", line, err) < 0)
		return -1;
	return make_disk(directory, install->size, err);
}

static int make(const struct install *install, const char *image, const char *hash, struct err *err)
{
	auto_free char *place = path_join(install->data, "installer");
	auto_free char *part = path_join(install->data, "installer.part");
	auto_close int directory = -1;
	struct err ignored = ERR_INIT;

	if (remove_tree(part, err) < 0 || file_mkdirs(part, 0700, err) < 0 ||
	    file_open_dir(AT_FDCWD, part, &directory, err) < 0)
		return -1;
	if (fill(install, image, hash, directory, err) < 0 || remove_tree(place, err) < 0) {
		(void)remove_tree(part, &ignored);
		return -1;
	}
	return rename(part, place) < 0 ? err_sys(err, "rename to %s", place) : 0;
}

int nixos_prepare(const struct install *install, struct err *err)
{
	auto_close int data = -1;
	auto_free char *state = NULL;
	auto_free char *image = NULL;
	char hash[HASH_HEX_SIZE];

	if (install_open(install, &data, &state, err) < 0)
		return -1;
	const struct nixos_iso wish = {.state = state,
				       .release =
					   install->release ? install->release : NIXOS_RELEASE,
				       .file = install->iso,
				       .offline = install->offline};
	if (nixos_iso_get(&wish, &image, hash, err) < 0)
		return err->code == ERR_CANCELLED ? -1 /* says all there is to say */
						  : err_wrap(err, "get the installer of NixOS");
	return make(install, image, hash, err);
}
