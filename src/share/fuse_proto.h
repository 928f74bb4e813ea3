#pragma once
/*
 * The FUSE messages the share understands, as the guest's kernel writes them: protocol 7.36, fields
 * in the guest's byte order (little-endian on every machine we run). The layout is a fact of the
 * kernel's interface (include/uapi/linux/fuse.h); it stands here because the server also runs where
 * there is no such header. Nothing in a message is trusted before it was checked.
 */
#include <stdint.h>

#define FUSE_MAJOR     7
#define FUSE_MINOR     36
#define FUSE_MINOR_MIN 31 /* Linux 5.4: what no guest of ours is older than */
#define FUSE_ROOT_ID   1

enum fuse_opcode {
	FUSE_LOOKUP = 1,
	FUSE_FORGET = 2, /* no reply */
	FUSE_GETATTR = 3,
	FUSE_SETATTR = 4,
	FUSE_READLINK = 5,
	FUSE_SYMLINK = 6,
	FUSE_MKNOD = 8,
	FUSE_MKDIR = 9,
	FUSE_UNLINK = 10,
	FUSE_RMDIR = 11,
	FUSE_RENAME = 12,
	FUSE_LINK = 13,
	FUSE_READ = 15,
	FUSE_WRITE = 16,
	FUSE_STATFS = 17,
	FUSE_RELEASE = 18,
	FUSE_FSYNC = 20,
	FUSE_INIT = 26,
	FUSE_READDIR = 28,
	FUSE_RELEASEDIR = 29,
	FUSE_FSYNCDIR = 30,
	FUSE_INTERRUPT = 36, /* no reply */
	FUSE_DESTROY = 38,
	FUSE_BATCH_FORGET = 42, /* no reply */
	FUSE_FALLOCATE = 43,
	FUSE_READDIRPLUS = 44,
	FUSE_RENAME2 = 45,
	FUSE_LSEEK = 46,
	FUSE_COPY_FILE_RANGE = 47,
	FUSE_OPCODE_COUNT,
};

enum fuse_notify_code {
	FUSE_NOTIFY_INVAL_INODE = 2,
	FUSE_NOTIFY_INVAL_ENTRY = 3,
};

/* Flags of INIT. */
#define FUSE_ASYNC_READ		 (1u << 0)
#define FUSE_BIG_WRITES		 (1u << 5)
#define FUSE_AUTO_INVAL_DATA	 (1u << 12)
#define FUSE_DO_READDIRPLUS	 (1u << 13)
#define FUSE_READDIRPLUS_AUTO	 (1u << 14)
#define FUSE_ASYNC_DIO		 (1u << 15)
#define FUSE_NO_OPEN_SUPPORT	 (1u << 17)
#define FUSE_PARALLEL_DIROPS	 (1u << 18)
#define FUSE_ABORT_ERROR	 (1u << 21)
#define FUSE_MAX_PAGES		 (1u << 22)
#define FUSE_CACHE_SYMLINKS	 (1u << 23)
#define FUSE_NO_OPENDIR_SUPPORT	 (1u << 24)
#define FUSE_EXPLICIT_INVAL_DATA (1u << 25)
#define FUSE_HANDLE_KILLPRIV_V2	 (1u << 28)

/* fuse_setattr_in.valid */
#define FATTR_MODE	(1u << 0)
#define FATTR_UID	(1u << 1)
#define FATTR_GID	(1u << 2)
#define FATTR_SIZE	(1u << 3)
#define FATTR_ATIME	(1u << 4)
#define FATTR_MTIME	(1u << 5)
#define FATTR_ATIME_NOW (1u << 7)
#define FATTR_MTIME_NOW (1u << 8)

#define FUSE_FSYNC_FDATASYNC (1u << 0)

/* fuse_write_in.write_flags: written back from a mapping, whose pages have their place */
#define FUSE_WRITE_CACHE (1u << 0)

/* Numbers of Linux, which the host may not share. */
#define FUSE_RENAME_NOREPLACE 1u
#define FUSE_RENAME_EXCHANGE  2u
#define FUSE_O_APPEND	      02000u
#define FUSE_SEEK_DATA	      3u
#define FUSE_SEEK_HOLE	      4u
#define FUSE_FALLOC_KEEP_SIZE 1u
#define FUSE_FALLOC_PUNCH     2u
#define FUSE_FALLOC_ZERO      16u

struct fuse_in_header {
	uint32_t len;
	uint32_t opcode;
	uint64_t unique;
	uint64_t nodeid;
	uint32_t uid;
	uint32_t gid;
	uint32_t pid;
	uint16_t total_extlen; /* extensions at the end, in units of 8 bytes */
	uint16_t padding;
};

struct fuse_out_header {
	uint32_t len;
	int32_t error; /* 0, or a negative errno of Linux; a notify code where unique is 0 */
	uint64_t unique;
};

struct fuse_attr {
	uint64_t ino, size, blocks, atime, mtime, ctime;
	uint32_t atimensec, mtimensec, ctimensec;
	uint32_t mode, nlink, uid, gid, rdev, blksize, flags;
};

struct fuse_entry_out {
	uint64_t nodeid, generation, entry_valid, attr_valid;
	uint32_t entry_valid_nsec, attr_valid_nsec;
	struct fuse_attr attr;
};

struct fuse_attr_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec, dummy;
	struct fuse_attr attr;
};

struct fuse_init_in {
	uint32_t major, minor, max_readahead, flags;
};

struct fuse_init_out {
	uint32_t major, minor, max_readahead, flags;
	uint16_t max_background, congestion_threshold;
	uint32_t max_write, time_gran;
	uint16_t max_pages, map_alignment;
	uint32_t flags2, unused[7];
};

struct fuse_forget_in {
	uint64_t nlookup;
};

struct fuse_forget_one {
	uint64_t nodeid, nlookup;
};

struct fuse_batch_forget_in {
	uint32_t count, dummy;
};

struct fuse_setattr_in {
	uint32_t valid, padding;
	uint64_t fh, size, lock_owner, atime, mtime, ctime;
	uint32_t atimensec, mtimensec, ctimensec;
	uint32_t mode, unused4, uid, gid, unused5;
};

struct fuse_mknod_in {
	uint32_t mode, rdev, umask, padding;
};

struct fuse_mkdir_in {
	uint32_t mode, umask;
};

struct fuse_rename_in {
	uint64_t newdir;
};

struct fuse_rename2_in {
	uint64_t newdir;
	uint32_t flags, padding;
};

struct fuse_link_in {
	uint64_t oldnodeid;
};

struct fuse_read_in {
	uint64_t fh, offset;
	uint32_t size, read_flags;
	uint64_t lock_owner;
	uint32_t flags, padding;
};

struct fuse_write_in {
	uint64_t fh, offset;
	uint32_t size, write_flags;
	uint64_t lock_owner;
	uint32_t flags, padding;
};

struct fuse_write_out {
	uint32_t size, padding;
};

struct fuse_fsync_in {
	uint64_t fh;
	uint32_t fsync_flags, padding;
};

struct fuse_statfs_out {
	uint64_t blocks, bfree, bavail, files, ffree;
	uint32_t bsize, namelen, frsize, padding, spare[6];
};

struct fuse_fallocate_in {
	uint64_t fh, offset, length;
	uint32_t mode, padding;
};

struct fuse_lseek_in {
	uint64_t fh, offset;
	uint32_t whence, padding;
};

struct fuse_lseek_out {
	uint64_t offset;
};

struct fuse_copy_file_range_in {
	uint64_t fh_in, off_in, nodeid_out, fh_out, off_out, len, flags;
};

struct fuse_dirent { /* the name follows, padded to 8 bytes */
	uint64_t ino, off;
	uint32_t namelen, type;
};

struct fuse_direntplus {
	struct fuse_entry_out entry;
	struct fuse_dirent dirent;
};

struct fuse_notify_inval_inode_out {
	uint64_t ino;
	int64_t off, len;
};

struct fuse_notify_inval_entry_out { /* the name and a NUL follow */
	uint64_t parent;
	uint32_t namelen, flags;
};

_Static_assert(sizeof(struct fuse_in_header) == 40 && sizeof(struct fuse_out_header) == 16 &&
		   sizeof(struct fuse_attr) == 88 && sizeof(struct fuse_entry_out) == 128 &&
		   sizeof(struct fuse_init_out) == 64 && sizeof(struct fuse_setattr_in) == 88 &&
		   sizeof(struct fuse_dirent) == 24 && sizeof(struct fuse_statfs_out) == 80,
	       "the layout is the kernel's");
