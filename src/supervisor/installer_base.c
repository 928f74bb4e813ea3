#include "supervisor/installer_base.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sha256.h"
#include "base/tree.h"
#include "guest/templates.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define FORMAT	    1 /* of a base; another number makes all that are there old */
#define KIND	    "nixos"
#define HASH_DIGITS 12
#define INPUT_MAX   ((size_t)4 << 20)

static const char *const boot_files[] = {"kernel", "initrd", "cmdline"};

/* -- its name -- */

static int add_input(struct buf *inputs, int bootstrap, const char *name, struct err *err)
{
	auto_free char *text = NULL;
	size_t length = 0;

	if (file_read(bootstrap, name, INPUT_MAX, &text, &length, err) < 0 &&
	    err->code != ERR_NOT_FOUND)
		return -1;
	*err = (struct err)ERR_INIT;
	if (buf_printf(inputs, "%s %zu\n", name, length) < 0 ||
	    (text && buf_append(inputs, text, length) < 0))
		return err_set(err, ERR_INVALID, "%s is too large", name);
	return 0;
}

static int add_inputs(struct buf *inputs, const struct installer_files *files, const char *machine,
		      struct err *err)
{
	static const char *const names[] = {"configuration.nix", "dxvm-boot.sh", "local.nix"};
	struct stat st;

	if (fstat(files->disk_fd, &st) < 0)
		return err_sys(err, "disk.img");
	(void)buf_printf(inputs, "%d %s %s %s %lld\n%s", FORMAT, files->release, machine,
			 files->hash, (long long)st.st_size, template_nixos_install);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (add_input(inputs, files->bootstrap_fd, names[i], err) < 0)
			return -1;
	return 0;
}

int installer_base_name(const struct installer_files *files, char **ret_name, struct err *err)
{
	auto_buf struct buf inputs;
	char hash[SHA256_HEX];
	struct utsname us;

	buf_init(&inputs, INPUT_MAX);
	if (uname(&us) < 0)
		return err_sys(err, "uname");
	if (add_inputs(&inputs, files, us.machine, err) < 0)
		return -1;
	sha256_hex(buf_data(&inputs), buf_length(&inputs), hash);
	*ret_name = xasprintf(KIND "-%s-%s-%.*s", files->release, us.machine, HASH_DIGITS, hash);
	return 0;
}

static char *base_path(struct err *err)
{
	auto_free char *state = path_state_dir(err);

	return state ? path_join(state, "base") : NULL;
}

/* -- using one -- */

static int copy(int from_dir, int to_dir, const char *name, struct err *err)
{
	auto_close int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return from < 0 ? err_sys(err, "%s", name) : installer_files_copy(from, to_dir, name, err);
}

int installer_base_open(const char *name)
{
	struct err ignored = ERR_INIT;
	auto_free char *all = base_path(&ignored);
	auto_free char *path = all ? path_join(all, name) : NULL;
	int base;

	return path && file_open_dir(AT_FDCWD, path, &base, &ignored) == 0 ? base : -1;
}

int installer_base_take(int base, const struct installer_files *files, struct err *err)
{
	auto_close int current = -1;
	auto_close int disk = openat(base, "disk.img", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (mkdirat(files->boot_fd, "current", 0700) < 0)
		return err_sys(err, "create current");
	if (file_open_dir(files->boot_fd, "current", &current, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(boot_files); i++)
		if (copy(base, current, boot_files[i], err) < 0)
			return -1;
	if (disk < 0 || ftruncate(files->disk_fd, 0) < 0)
		return err_sys(err, "disk.img");
	return file_clone(disk, files->disk_fd, err) < 0 ? err_wrap(err, "disk.img") : 0;
}

/* -- keeping one -- */

static int fill(int part, const struct installer_files *files, struct err *err)
{
	auto_close int current = -1;

	if (file_open_dir(files->data_dir, "boot/current", &current, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(boot_files); i++)
		if (copy(current, part, boot_files[i], err) < 0)
			return -1;
	if (installer_files_copy(files->disk_fd, part, "disk.img", err) < 0)
		return -1;
	return file_sync(part, "the base image", err);
}

/* Gigabytes that no installation asks for any more: projects have copies. */
static void remove_old(int all, const char *path, const char *name)
{
	size_t prefix = strlen(name) - HASH_DIGITS;
	DIR *entries = opendir(path);
	const struct dirent *entry;
	struct err ignored = ERR_INIT;

	while (entries && (entry = readdir(entries)))
		if (strncmp(entry->d_name, name, prefix) == 0 && strcmp(entry->d_name, name) != 0)
			(void)tree_remove(all, entry->d_name, &ignored);
	if (entries)
		(void)closedir(entries);
}

static int make(int all, const char *name, const struct installer_files *files, struct err *err)
{
	auto_free char *part = xasprintf("%s.part", name);
	auto_close int dir = -1;
	struct err ignored = ERR_INIT;

	if (tree_remove(all, part, err) < 0)
		return -1;
	if (mkdirat(all, part, 0700) < 0)
		return err_sys(err, "create %s", part);
	if (file_open_dir(all, part, &dir, err) == 0 && fill(dir, files, err) == 0 &&
	    file_rename(all, part, name, err) == 0)
		return file_sync(all, "base", err);
	(void)tree_remove(all, part, &ignored);
	return -1;
}

int installer_base_keep(const char *name, const struct installer_files *files, struct err *err)
{
	auto_free char *path = base_path(err);
	auto_close int all = -1;
	auto_close int lock = -1;

	if (!path || file_mkdirs(path, 0700, err) < 0 ||
	    file_open_dir(AT_FDCWD, path, &all, err) < 0 ||
	    file_lock(all, "lock", false, &lock, err) < 0)
		return -1;
	if (faccessat(all, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && make(all, name, files, err) < 0)
		return err_wrap(err, "%s", path);
	remove_old(all, path, name);
	return 0;
}
