/*
 * The volume descriptor is read here and not by libarchive, which neither tells the label nor
 * complains when the image ends early, as long as it is not asked for what is missing.
 * ECMA-119, 8.4: sector 16 begins with 1 "CD001" 1; label at 40, length in blocks at 80 and size of
 * a block at 128, both also little-endian.
 */
#include "image/iso.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "image/boot_menu.h"
#include "image/cancel.h"
#include "image/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define SECTOR	   2048
#define DESCRIPTOR ((off_t)16 * SECTOR)
#define LABEL_AT   40
#define LABEL_SIZE 32
#define BLOCKS_AT  80
#define BLOCK_AT   128

#define MENU_MAX   ((uint64_t)1 << 20)
#define KERNEL_MAX ((uint64_t)256 << 20)
#define INITRD_MAX ((uint64_t)512 << 20) /* as guest/file.h allows */

static const struct {
	const char *path;
	enum boot_menu_kind kind;
} menus[] = {
    {"EFI/BOOT/grub.cfg", BOOT_MENU_GRUB}, /* since 24.11 */
    {"EFI/boot/grub.cfg", BOOT_MENU_GRUB},
    {"isolinux/isolinux.cfg", BOOT_MENU_ISOLINUX}, /* x86 only */
};

static uint64_t little_endian(const uint8_t *bytes, size_t count)
{
	uint64_t value = 0;

	for (size_t i = count; i > 0; i--)
		value = value << 8 | bytes[i - 1];
	return value;
}

static void read_label(const uint8_t *sector, char ret_volume[LABEL_SIZE + 1])
{
	size_t length = LABEL_SIZE;

	memcpy(ret_volume, sector + LABEL_AT, LABEL_SIZE);
	while (length > 0 && (ret_volume[length - 1] == ' ' || ret_volume[length - 1] == '\0'))
		length--;
	ret_volume[length] = '\0';
	for (size_t i = 0; i < length; i++)
		if (ret_volume[i] < ' ' || ret_volume[i] > '~')
			ret_volume[i] = '?';
}

static int read_descriptor(struct iso *iso, uint64_t size, struct err *err)
{
	uint8_t sector[SECTOR];
	ssize_t n = pread(iso->fd, sector, sizeof(sector), DESCRIPTOR);

	if (n < 0)
		return err_sys(err, "read");
	if (n < SECTOR || memcmp(sector, "\001CD001\001", 7) != 0)
		return err_set(err, ERR_INVALID, "this is no ISO image");
	uint64_t length =
	    little_endian(sector + BLOCKS_AT, 4) * little_endian(sector + BLOCK_AT, 2);
	if (length > size)
		return err_set(err, ERR_INVALID,
			       "the ISO image is cut short: %llu of %llu bytes are there",
			       (unsigned long long)size, (unsigned long long)length);
	read_label(sector, iso->volume);
	return 0;
}

int iso_open(const char *path, struct iso *ret_iso, struct err *err)
{
	struct iso iso = {.fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
	struct stat st;
	int result;

	if (iso.fd < 0 || fstat(iso.fd, &st) < 0)
		result = err_sys(err, "open %s", path);
	else if (!S_ISREG(st.st_mode))
		result = err_set(err, ERR_INVALID, "%s is not a regular file", path);
	else if ((result = read_descriptor(&iso, (uint64_t)st.st_size, err)) < 0)
		(void)err_wrap(err, "%s", path);
	if (result < 0)
		iso_close(&iso);
	else
		*ret_iso = iso;
	return result;
}

void iso_close(struct iso *iso)
{
	cleanup_close(&iso->fd);
	iso->fd = -1;
}

static int add_to_menu(void *ctx, const void *data, size_t length, struct err *err)
{
	return buf_append(ctx, data, length) < 0 ? err_set(err, ERR_INVALID, "too large") : 0;
}

/* The first menu that is there and has an entry decides; an error of one before counts only if
 * there is no other. */
static int choose_entry(const struct iso *iso, struct boot_entry *ret_entry, struct err *err)
{
	struct buf texts[ARRAY_SIZE(menus)];
	struct unpack_wish wishes[ARRAY_SIZE(menus)];
	struct err problem = ERR_INIT;
	int result = -1;

	for (size_t i = 0; i < ARRAY_SIZE(menus); i++) {
		buf_init(&texts[i], MENU_MAX);
		wishes[i] =
		    (struct unpack_wish){menus[i].path, MENU_MAX, add_to_menu, &texts[i], false};
	}
	if (unpack_iso(iso->fd, wishes, ARRAY_SIZE(menus), &problem) < 0)
		goto out;
	(void)err_set(&problem, ERR_NOT_FOUND,
		      "it has neither EFI/BOOT/grub.cfg nor isolinux/isolinux.cfg: is this the "
		      "installer of NixOS?");
	for (size_t i = 0; i < ARRAY_SIZE(menus) && result < 0; i++) {
		if (!wishes[i].found)
			continue;
		auto_free char *text = buf_take_string(&texts[i]);
		problem = (struct err)ERR_INIT;
		result = boot_menu_parse(text, menus[i].kind, ret_entry, &problem);
		if (result < 0)
			(void)err_wrap(&problem, "%s", menus[i].path);
	}
out:
	if (result < 0)
		*err = problem;
	for (size_t i = 0; i < ARRAY_SIZE(menus); i++)
		buf_done(&texts[i]);
	return result;
}

static int add_to_file(void *ctx, const void *data, size_t length, struct err *err)
{
	return cancel_check(err) < 0 ? -1 : file_write_all(*(int *)ctx, data, length, err);
}

static int create(int directory, const char *name, int *ret_fd, struct err *err)
{
	*ret_fd = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return *ret_fd < 0 ? err_sys(err, "create %s", name) : 0;
}

/* A kernel of another machine would only show as a screen that stays black. */
static int check_machine(int kernel, struct err *err)
{
	struct utsname us;
	uint8_t head[64] = {0};
	bool is_arm;

	if (uname(&us) < 0 || pread(kernel, head, sizeof(head), 0) < (ssize_t)sizeof(head))
		return err_set(err, ERR_INVALID, "its kernel is empty");
	/* Documentation/arch/arm64/booting.rst: magic number at 56 */
	is_arm = memcmp(head + 56, "ARM\x64", 4) == 0;
	if (is_arm != (strcmp(us.machine, "aarch64") == 0))
		return err_set(err, ERR_UNSUPPORTED, "it is for %s, and this host is %s",
			       is_arm ? "aarch64" : "another machine", us.machine);
	return 0;
}

static int take_files(const struct iso *iso, const struct boot_entry *entry, int directory,
		      struct err *err)
{
	auto_close int kernel = -1;
	auto_close int initrd = -1;

	if (create(directory, "kernel", &kernel, err) < 0 ||
	    create(directory, "initrd", &initrd, err) < 0)
		return -1;
	struct unpack_wish wishes[] = {
	    {entry->kernel, KERNEL_MAX, add_to_file, &kernel, false},
	    {entry->initrd, INITRD_MAX, add_to_file, &initrd, false},
	};
	if (unpack_iso(iso->fd, wishes, ARRAY_SIZE(wishes), err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++)
		if (!wishes[i].found)
			return err_set(err, ERR_NOT_FOUND,
				       "its boot menu names %s, which is not there",
				       wishes[i].name);
	return check_machine(kernel, err);
}

int iso_take_boot(const struct iso *iso, int directory, struct err *err)
{
	struct boot_entry entry = {0};
	int result;

	if (choose_entry(iso, &entry, err) < 0)
		return -1;
	result = take_files(iso, &entry, directory, err);
	if (result == 0)
		result = file_write_atomic(directory, "cmdline", entry.cmdline,
					   strlen(entry.cmdline), 0600, err);
	boot_entry_done(&entry);
	return result;
}
