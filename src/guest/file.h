#pragma once
/*
 * The files that a machine is made of, which a person, a repository or a guest may have put there.
 */
#include "base/err.h"

#include <sys/types.h>

#define GUEST_KERNEL_MAX ((off_t)256 << 20)
#define GUEST_INITRD_MAX ((off_t)512 << 20)
#define GUEST_DISK_MAX	 ((off_t)1 << 44)

/* Opens a plain file of 1 to `max` bytes that belongs to the user; no link is followed, nothing
 * waited for. `label` is how people find it. ERR_NOT_FOUND says that it is missing and what to do. */
int guest_file_open(int dir, const char *name, const char *label, int flags, off_t max, int *ret_fd,
		    struct err *err);
