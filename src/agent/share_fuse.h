#pragma once
/* What the guest's end of the share reads in FUSE messages (linux/fuse.h), in the machine's order. */
#include <stdint.h>
#include <string.h>

#define FUSE_IN_HEADER	40u /* length u32, opcode u32, unique u64, node u64, ... */
#define FUSE_AT_OPCODE	4
#define FUSE_AT_UNIQUE	8
#define FUSE_AT_NODE	16
#define FUSE_AT_CODE	4   /* of a notification, in the place of an error */
#define FUSE_OUT_HEADER 16u /* length u32, error i32, unique u64 */

enum {
	OP_LOOKUP = 1,
	OP_FORGET = 2,
	OP_GETATTR = 3,
	OP_SETATTR = 4,
	OP_READLINK = 5,
	OP_SYMLINK = 6,
	OP_MKNOD = 8,
	OP_MKDIR = 9,
	OP_UNLINK = 10,
	OP_RMDIR = 11,
	OP_RENAME = 12,
	OP_LINK = 13,
	OP_READ = 15,
	OP_WRITE = 16,
	OP_INIT = 26,
	OP_READDIR = 28,
	OP_CREATE = 35,
	OP_INTERRUPT = 36,
	OP_BATCH_FORGET = 42,
	OP_READDIRPLUS = 44,
	OP_RENAME2 = 45,
};

#define NOTIFY_INVAL_INODE 2u

static inline uint32_t fuse_u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static inline uint64_t fuse_u64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}
