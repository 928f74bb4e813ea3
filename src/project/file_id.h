#pragma once
/*
 * Which file it is, whatever its name. Inode and birth time: nobody can set a birth time, so a copy
 * is another file. Not the device number, which is the mount's: it changes with a reboot, another
 * loop device, each mount of btrfs. Only where a file system keeps no birth times it takes their
 * place.
 */
#include <stdbool.h>
#include <stdint.h>

struct file_id {
	uint64_t device; /* 0 where there is a birth time */
	uint64_t inode;
	uint64_t born_ns; /* since 1970; 0: unknown */
};

/* Of the file behind a descriptor (name ""), or of what has this name in a directory: a link is not
 * followed. -1 with errno. */
int file_id_get(int fd, const char *name, struct file_id *ret_id);
bool file_id_equal(const struct file_id *a, const struct file_id *b);
