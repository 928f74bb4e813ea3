#include "image/kernel.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/initrd.h"
#include "image/module.h"
#include "image/progress.h"
#include "image/unpack.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* The root file system and the share are nothing without their drivers; the rest makes the guest
 * better and may be missing in some kernel. */
static const struct module_wish wishes[] = {
    {"virtio_pci", true}, {"virtio_blk", true},	 {"virtio_console", true},  {"ext4", true},
    {"fuse", true},	  {"virtio_net", false}, {"virtio_balloon", false}, {"virtio_rng", false},
    {"overlay", false},
};

static bool is_kernel_file(void *ctx, const char *name)
{
	(void)ctx;
	return strncmp(name, "boot/vmlinu", 11) == 0 || strncmp(name, "lib/modules/", 12) == 0 ||
	       strncmp(name, "usr/lib/modules/", 16) == 0;
}

static bool is_system_file(void *ctx, const char *name)
{
	(void)ctx;
	return strcmp(name, "bin/busybox") == 0 || strcmp(name, "usr/bin/busybox") == 0 ||
	       strncmp(name, "lib/terminfo/", 13) == 0 ||
	       strncmp(name, "usr/lib/terminfo/", 17) == 0 ||
	       strncmp(name, "usr/share/terminfo/", 19) == 0;
}

/* The first of the paths below `directory` that is there; NULL when none is. */
static char *find_path(const char *directory, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		auto_free char *path = path_join(directory, names[i]);

		if (access(path, F_OK) == 0)
			return take_ptr(&path);
	}
	return NULL;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* The name of the only entry of a directory whose name starts with `prefix`. */
static char *find_entry(const char *directory, const char *prefix)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, is_visible, alphasort);
	char *found = NULL;

	for (int i = 0; i < count; i++) {
		if (!found && strncmp(entries[i]->d_name, prefix, strlen(prefix)) == 0)
			found = xstrdup(entries[i]->d_name);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return found;
}

static int locate(struct kernel *kernel, struct err *err)
{
	static const char *const homes[] = {"usr/lib/modules", "lib/modules"};
	auto_free char *home = find_path(kernel->directory, homes, ARRAY_SIZE(homes));
	auto_free char *boot = path_join(kernel->directory, "boot");
	auto_free char *image = find_entry(boot, "vmlinu");

	kernel->release = home ? find_entry(home, "") : NULL;
	if (!kernel->release || !image)
		return err_set(err, ERR_INVALID, "the kernel package holds no %s",
			       image ? "modules" : "kernel");
	kernel->modules = path_join(home, kernel->release);
	kernel->image = path_join(boot, image);
	return 0;
}

int kernel_get(const struct apt *apt, const char *scratch, struct kernel *ret_kernel,
	       struct err *err)
{
	auto_free char *meta = xasprintf("linux-image-cloud-%s", apt->architecture);
	struct kernel kernel = {.directory = path_join(scratch, "kernel")};
	auto_free char *package = NULL;
	auto_free char *deb = NULL;

	progress_stage("fetching Debian's kernel");
	if (apt_dependency(apt, meta, "linux-image-", &package, err) < 0 ||
	    apt_fetch(apt, package, &deb, err) < 0 ||
	    unpack_deb(deb, kernel.directory, is_kernel_file, NULL, err) < 0 ||
	    locate(&kernel, err) < 0) {
		kernel_done(&kernel);
		return -1;
	}
	apt_forget_others(apt, "linux-image-", package);
	*ret_kernel = kernel;
	return 0;
}

void kernel_done(struct kernel *kernel)
{
	free(kernel->directory);
	free(kernel->release);
	free(kernel->modules);
	free(kernel->image);
	*kernel = (struct kernel){0};
}

static int create(int directory, const char *name, int *ret_fd, struct err *err)
{
	*ret_fd =
	    openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	return *ret_fd < 0 ? err_sys(err, "create %s", name) : 0;
}

static int fetch_system(const struct apt *apt, const char *directory, struct err *err)
{
	static const char *const packages[] = {"busybox-static", "ncurses-base"};

	for (size_t i = 0; i < ARRAY_SIZE(packages); i++) {
		auto_free char *deb = NULL;

		progress_stage("fetching %s", packages[i]);
		if (apt_fetch(apt, packages[i], &deb, err) < 0 ||
		    unpack_deb(deb, directory, is_system_file, NULL, err) < 0)
			return -1;
	}
	return 0;
}

static int make_initrd(const struct apt *apt, const struct module_list *modules,
		       const char *scratch, bool tiny, int fd, struct err *err)
{
	static const char *const busybox_names[] = {"usr/bin/busybox", "bin/busybox"};
	static const char *const terminfo_names[] = {"usr/lib/terminfo", "usr/share/terminfo",
						     "lib/terminfo"};
	auto_free char *directory = path_join(scratch, "system");

	if (!tiny)
		return initrd_write(fd, modules, NULL, err);
	if (fetch_system(apt, directory, err) < 0)
		return -1;
	auto_free char *busybox = find_path(directory, busybox_names, ARRAY_SIZE(busybox_names));
	auto_free char *terminfo = find_path(directory, terminfo_names, ARRAY_SIZE(terminfo_names));
	struct initrd_system system = {.busybox = busybox, .terminfo = terminfo};
	if (!busybox)
		return err_set(err, ERR_INVALID, "package busybox-static holds no busybox");
	return initrd_write(fd, modules, &system, err);
}

int kernel_make_boot(const struct apt *apt, const struct kernel *kernel, const char *scratch,
		     bool tiny, int directory, struct err *err)
{
	auto_close int from = open(kernel->image, O_RDONLY | O_CLOEXEC);
	auto_close int image = -1;
	auto_close int initrd = -1;
	struct module_list modules;
	int result;

	if (from < 0)
		return err_sys(err, "open %s", kernel->image);
	if (create(directory, "kernel", &image, err) < 0 || file_clone(from, image, err) < 0 ||
	    create(directory, "initrd", &initrd, err) < 0 ||
	    module_resolve(kernel->modules, wishes, ARRAY_SIZE(wishes), &modules, err) < 0)
		return -1;
	result = make_initrd(apt, &modules, scratch, tiny, initrd, err);
	module_list_done(&modules);
	if (result == 0 && (fsync(image) < 0 || fsync(initrd) < 0))
		return err_sys(err, "sync");
	return result;
}
