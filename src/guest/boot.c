#include "guest/boot.h"

#include "base/file.h"
#include "base/mem.h"
#include "guest/entry.h"
#include "guest/file.h"
#include "guest/initrd.h"

#include <fcntl.h>
#include <sys/stat.h>

#define PROGRAM_MAX ((off_t)64 << 20)

int guest_disk_grow(int disk, uint64_t size, struct err *err)
{
	struct stat st;

	if (fstat(disk, &st) < 0)
		return err_sys(err, "disk.img");
	if (size > (uint64_t)st.st_size && size <= (uint64_t)GUEST_DISK_MAX &&
	    ftruncate(disk, (off_t)size) < 0)
		return err_sys(err, "disk.img: make it %llu bytes long", (unsigned long long)size);
	return 0;
}

/* A program of the installation: links are fine there. */
static int open_program(const char *program, const char *what, int *ret_fd, struct err *err)
{
	auto_close int fd = open(program, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "open %s %s", what, program);
	if (!S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > PROGRAM_MAX)
		return err_set(err, ERR_INVALID, "%s is no program", program);
	*ret_fd = take_fd(&fd);
	return 0;
}

/* The initrd of the data directory with our programs added. */
static int open_ours(int boot, const struct kind *kind, const struct guest_programs *programs,
		     struct guest_boot *ret_boot, struct err *err)
{
	auto_close int kernel = -1;
	auto_close int initrd = -1;
	auto_close int agent = -1;
	auto_close int devbox = -1;

	if (guest_file_open(boot, "kernel", "boot/kernel", O_RDONLY, GUEST_KERNEL_MAX, &kernel,
			    err) < 0 ||
	    guest_file_open(boot, "initrd", "boot/initrd", O_RDONLY, GUEST_INITRD_MAX, &initrd,
			    err) < 0 ||
	    open_program(programs->agent, "the guest agent", &agent, err) < 0 ||
	    open_program(programs->devbox, "the guest's program", &devbox, err) < 0 ||
	    guest_initrd_compose(initrd, agent, devbox, &ret_boot->initrd_fd, err) < 0)
		return -1;
	ret_boot->kernel_fd = take_fd(&kernel);
	ret_boot->cmdline = xstrdup(kind->cmdline);
	return 0;
}

/* What the guest itself wrote there. */
static int open_theirs(int boot, const struct kind *kind, bool previous,
		       struct guest_boot *ret_boot, struct err *err)
{
	struct guest_entry entry;

	if (guest_entry_open(boot, previous, &entry, err) < 0)
		return -1;
	ret_boot->kernel_fd = entry.kernel_fd;
	ret_boot->initrd_fd = entry.initrd_fd;
	ret_boot->cmdline = xasprintf("%s %s", entry.cmdline, kind->cmdline);
	free(entry.cmdline);
	return 0;
}

void guest_boot_close(struct guest_boot *boot)
{
	cleanup_close(&boot->kernel_fd);
	cleanup_close(&boot->initrd_fd);
	cleanup_close(&boot->disk_fd);
	free(take_ptr(&boot->cmdline));
	*boot = (struct guest_boot)GUEST_BOOT_INIT;
}

int guest_boot_open(int data_dir, const struct kind *kind, const struct guest_programs *programs,
		    bool previous, struct guest_boot *ret_boot, struct err *err)
{
	struct guest_boot boot = GUEST_BOOT_INIT;
	auto_close int dir = -1;
	int result;

	if (previous && !kind->boots_itself)
		return err_set(err, ERR_UNSUPPORTED,
			       "a guest of kind %s has no system before the present one",
			       kind->name);
	if (file_open_dir(data_dir, "boot", &dir, err) < 0)
		return err_wrap(err, "the VM has nothing to boot (`dxvm install` makes it anew)");
	result = kind->boots_itself ? open_theirs(dir, kind, previous, &boot, err)
				    : open_ours(dir, kind, programs, &boot, err);
	if (result < 0 ||
	    (kind->has_disk && guest_file_open(data_dir, "disk.img", "disk.img", O_RDWR,
					       GUEST_DISK_MAX, &boot.disk_fd, err) < 0)) {
		guest_boot_close(&boot);
		return -1;
	}
	*ret_boot = boot;
	return 0;
}
