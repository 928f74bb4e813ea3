#include "agent/root.h"

#include "base/log.h"
#include "base/mem.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <time.h>

#define NEW_ROOT    "/newroot"
#define WAIT_TRIES  1000
#define WAIT_NS	    10000000 /* 10 ms: ten seconds in all */
#define DEPTH_MAX   32
#define GROW_LEAST  (16u << 20) /* bytes; less is not worth a new block group */
#define SUPER_AT    1024
#define SUPER_BYTES 1024
/* Fields of the ext4 superblock (Documentation/filesystems/ext4/super.rst). */
#define SUPER_BLOCKS_LOW  0x04
#define SUPER_BLOCK_SHIFT 0x18
#define SUPER_MAGIC	  0x38
#define SUPER_INCOMPAT	  0x60
#define SUPER_BLOCKS_HIGH 0x150
#define INCOMPAT_64BIT	  0x80u
#define SHIFT_MAX	  6 /* 64 KiB blocks */
#define RESIZE_FS	  _IOW('f', 16, uint64_t)

static const char *const moved[] = {"/dev", "/proc", "/sys"};

static int wait_for(const char *device, struct err *err)
{
	const struct timespec pause = {.tv_nsec = WAIT_NS};
	struct stat st;

	for (int i = 0; i < WAIT_TRIES; i++) {
		if (stat(device, &st) == 0 && S_ISBLK(st.st_mode))
			return 0;
		(void)nanosleep(&pause, NULL);
	}
	return err_set(err, ERR_NOT_FOUND, "the device did not appear within %d s",
		       WAIT_TRIES / 100);
}

/* Removes a tree that stays on one device. */
static void remove_tree(int dir, dev_t device, int depth)
{
	DIR *stream = depth < DEPTH_MAX ? fdopendir(dir) : NULL;
	const struct dirent *entry;

	if (!stream) {
		(void)close(dir);
		return;
	}
	while ((entry = readdir(stream))) {
		struct stat st;
		int child;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    st.st_dev != device)
			continue;
		if (!S_ISDIR(st.st_mode)) {
			(void)unlinkat(dir, entry->d_name, 0);
			continue;
		}
		child = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child >= 0)
			remove_tree(child, device, depth + 1);
		(void)unlinkat(dir, entry->d_name, AT_REMOVEDIR);
	}
	(void)closedir(stream);
}

/* Only what really is an initramfs: never a disk by mistake. Takes the descriptor. */
static void free_initramfs(int old_root)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(old_root, &fs) == 0 && fstat(old_root, &st) == 0 &&
	    (fs.f_type == RAMFS_MAGIC || fs.f_type == TMPFS_MAGIC))
		remove_tree(old_root, st.st_dev, 0);
	else
		(void)close(old_root);
}

int root_switch(const char *device, struct err *err)
{
	int old_root;

	if (wait_for(device, err) < 0)
		return -1;
	(void)mkdir(NEW_ROOT, 0755);
	if (mount(device, NEW_ROOT, "ext4", MS_NOATIME, "discard") < 0)
		return err_sys(err, "mount");
	old_root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(moved); i++) {
		auto_free char *to = xasprintf(NEW_ROOT "%s", moved[i]);

		(void)mkdir(to, 0755);
		if (mount(moved[i], to, NULL, MS_MOVE, NULL) < 0)
			log_warn("root", "move %s: %s", moved[i], strerror(errno));
	}
	if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0) {
		(void)err_sys(err, "move into it");
		if (old_root >= 0)
			(void)close(old_root);
		return -1;
	}
	if (old_root >= 0)
		free_initramfs(old_root);
	return 0;
}

static uint32_t field(const uint8_t *super, size_t at)
{
	uint32_t value;

	memcpy(&value, super + at, sizeof(value));
	return le32toh(value);
}

/* How many blocks it has and how large they are. False: no ext4. */
static bool read_super(int fd, uint64_t *ret_blocks, uint64_t *ret_block_size)
{
	uint8_t super[SUPER_BYTES];
	uint64_t blocks;

	if (pread(fd, super, sizeof(super), SUPER_AT) != (ssize_t)sizeof(super) ||
	    (field(super, SUPER_MAGIC) & 0xffff) != EXT4_SUPER_MAGIC ||
	    field(super, SUPER_BLOCK_SHIFT) > SHIFT_MAX)
		return false;
	blocks = field(super, SUPER_BLOCKS_LOW);
	if (field(super, SUPER_INCOMPAT) & INCOMPAT_64BIT)
		blocks |= (uint64_t)field(super, SUPER_BLOCKS_HIGH) << 32;
	*ret_blocks = blocks;
	*ret_block_size = UINT64_C(1024) << field(super, SUPER_BLOCK_SHIFT);
	return true;
}

int root_grow(struct err *err)
{
	auto_close int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int device = -1;
	auto_free char *name = NULL;
	struct stat st;
	uint64_t blocks;
	uint64_t block_size;
	uint64_t bytes;
	off_t end;

	if (root < 0 || fstat(root, &st) < 0)
		return err_sys(err, "/");
	if (major(st.st_dev) == 0)
		return 0; /* an initramfs: there is no device */
	/* devtmpfs has no names by number: make one for the moment. */
	name = xasprintf("/dev/.dxvm-root-%u-%u", major(st.st_dev), minor(st.st_dev));
	if (mknod(name, S_IFBLK | 0600, st.st_dev) < 0)
		return err_sys(err, "%s", name);
	device = open(name, O_RDONLY | O_CLOEXEC);
	(void)unlink(name);
	end = device < 0 ? -1 : lseek(device, 0, SEEK_END);
	if (end < 0)
		return err_sys(err, "size of the root disk");
	bytes = (uint64_t)end;
	if (!read_super(device, &blocks, &block_size) || bytes / block_size <= blocks ||
	    bytes - blocks * block_size < GROW_LEAST)
		return 0;
	log_info("root", "growing the root file system to %llu MiB",
		 (unsigned long long)(bytes >> 20));
	blocks = bytes / block_size;
	if (ioctl(root, RESIZE_FS, &blocks) < 0)
		return err_sys(err, "grow the root file system");
	return 0;
}
