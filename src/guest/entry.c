#include "guest/entry.h"

#include "base/file.h"
#include "base/mem.h"
#include "guest/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define CMDLINE_MAX ((off_t)1900) /* the kernel takes 2047, and the host adds to it */

/* One line of printable characters; a newline may end it. */
static int check_cmdline(char *text, const char *label, struct err *err)
{
	size_t length = strlen(text);

	if (length > 0 && text[length - 1] == '\n')
		text[--length] = '\0';
	for (size_t i = 0; i < length; i++)
		if (text[i] < ' ' || text[i] > '~')
			return err_set(err, ERR_INVALID,
				       "%s: byte %zu is 0x%02x; a command line is one line of "
				       "printable characters",
				       label, i + 1, (unsigned)(unsigned char)text[i]);
	return 0;
}

static int read_cmdline(int dir, const char *label, char **ret_text, struct err *err)
{
	auto_close int fd = -1;
	char text[CMDLINE_MAX + 1];
	ssize_t n;

	if (guest_file_open(dir, "cmdline", label, O_RDONLY, CMDLINE_MAX, &fd, err) < 0)
		return -1;
	n = pread(fd, text, CMDLINE_MAX, 0);
	if (n < 0)
		return err_sys(err, "%s", label);
	text[n] = '\0';
	if (memchr(text, '\0', (size_t)n))
		return err_set(err, ERR_INVALID, "%s holds a NUL", label);
	if (check_cmdline(text, label, err) < 0)
		return -1;
	*ret_text = xstrdup(text);
	return 0;
}

static int open_files(int boot_dir, const char *name, struct guest_entry *ret_entry,
		      struct err *err)
{
	auto_free char *kernel_label = xasprintf("boot/%s/kernel", name);
	auto_free char *initrd_label = xasprintf("boot/%s/initrd", name);
	auto_free char *cmdline_label = xasprintf("boot/%s/cmdline", name);
	auto_close int dir =
	    openat(boot_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_close int kernel = -1;
	auto_close int initrd = -1;
	auto_free char *cmdline = NULL;

	if (dir < 0)
		return err_sys(err, "open boot/%s", name);
	if (guest_file_open(dir, "kernel", kernel_label, O_RDONLY, GUEST_KERNEL_MAX, &kernel, err) <
		0 ||
	    guest_file_open(dir, "initrd", initrd_label, O_RDONLY, GUEST_INITRD_MAX, &initrd, err) <
		0 ||
	    read_cmdline(dir, cmdline_label, &cmdline, err) < 0)
		return -1;
	*ret_entry = (struct guest_entry){
	    .kernel_fd = take_fd(&kernel),
	    .initrd_fd = take_fd(&initrd),
	    .cmdline = take_ptr(&cmdline),
	};
	return 0;
}

static bool is_there(int boot_dir, const char *name)
{
	struct stat st;

	return fstatat(boot_dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int guest_entry_open(int boot_dir, bool previous, struct guest_entry *ret_entry, struct err *err)
{
	/* The hook makes `new` whole before it takes `current` away. */
	static const char *const names[] = {"current", "new", "previous"};

	if (previous) {
		if (!is_there(boot_dir, "previous"))
			return err_set(err, ERR_NOT_FOUND,
				       "there is no system before the present one "
				       "(boot/previous): none was replaced since it was installed");
		return open_files(boot_dir, "previous", ret_entry, err);
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (is_there(boot_dir, names[i]))
			return open_files(boot_dir, names[i], ret_entry, err);
	return err_set(err, ERR_NOT_FOUND,
		       "there is nothing to boot (boot/current): `dxvm install --force` makes the "
		       "VM anew");
}
