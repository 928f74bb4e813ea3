#include "guest/boot.h"

#include "base/file.h"
#include "base/mem.h"
#include "guest/initrd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define KERNEL_MAX  ((off_t)256 << 20)
#define INITRD_MAX  ((off_t)512 << 20)
#define PROGRAM_MAX ((off_t)64 << 20)
#define DISK_MAX    ((off_t)1 << 44)

/* Opens a file of the user's. `label` is how people find it. */
static int open_file(int dir, const char *name, const char *label, int flags, off_t max,
		     int *ret_fd, struct err *err)
{
	auto_close int fd = openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return err_set(err, ERR_NOT_FOUND,
			       "%s is missing: `dxvm install` makes the VM anew", label);
	if (fd < 0 && errno == ELOOP)
		return err_set(err, ERR_INVALID, "%s is a symbolic link, which is not followed",
			       label);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "open %s", label);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s is not a regular file", label);
	if (st.st_uid != geteuid() && geteuid() != 0)
		return err_set(err, ERR_INVALID, "%s belongs to user %lu, not to you", label,
			       (unsigned long)st.st_uid);
	if (st.st_size == 0 || st.st_size > max)
		return err_set(err, ERR_INVALID,
			       "%s has %lld bytes; between 1 and %lld are allowed", label,
			       (long long)st.st_size, (long long)max);
	if (file_set_nonblock(fd, false, err) < 0)
		return err_wrap(err, "%s", label);
	*ret_fd = take_fd(&fd);
	return 0;
}

static int open_disk(int data_dir, uint64_t size, int *ret_fd, struct err *err)
{
	auto_close int fd = -1;
	struct stat st;

	if (open_file(data_dir, "disk.img", "disk.img", O_RDWR, DISK_MAX, &fd, err) < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return err_sys(err, "disk.img");
	if (size > (uint64_t)st.st_size && size <= (uint64_t)DISK_MAX &&
	    ftruncate(fd, (off_t)size) < 0)
		return err_sys(err, "disk.img: make it %llu bytes long", (unsigned long long)size);
	*ret_fd = take_fd(&fd);
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

int guest_boot_open(int data_dir, const struct kind *kind, const struct guest_programs *programs,
		    uint64_t disk_size, struct guest_boot *ret_boot, struct err *err)
{
	auto_close int boot = -1;
	auto_close int kernel = -1;
	auto_close int initrd = -1;
	auto_close int agent = -1;
	auto_close int devbox = -1;
	auto_close int disk = -1;
	auto_close int composed = -1;

	if (file_open_dir(data_dir, "boot", &boot, err) < 0)
		return err_wrap(err, "the VM has nothing to boot (`dxvm install` makes it anew)");
	if (open_file(boot, "kernel", "boot/kernel", O_RDONLY, KERNEL_MAX, &kernel, err) < 0 ||
	    open_file(boot, "initrd", "boot/initrd", O_RDONLY, INITRD_MAX, &initrd, err) < 0 ||
	    open_program(programs->agent, "the guest agent", &agent, err) < 0 ||
	    open_program(programs->devbox, "the guest's program", &devbox, err) < 0 ||
	    guest_initrd_compose(initrd, agent, devbox, &composed, err) < 0 ||
	    (kind->has_disk && open_disk(data_dir, disk_size, &disk, err) < 0))
		return -1;
	*ret_boot = (struct guest_boot){
	    .kernel_fd = take_fd(&kernel),
	    .initrd_fd = take_fd(&composed),
	    .disk_fd = take_fd(&disk),
	    .cmdline = xstrdup(kind->cmdline),
	};
	return 0;
}
