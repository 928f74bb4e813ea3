#pragma once
/*
 * From a data directory to what a machine boots: kernel, initrd, command line, disk. The directory
 * may have been written by a guest or shipped in a repository: nothing in it is followed, sizes are
 * bounded, and all must belong to the user.
 */
#include "base/err.h"
#include "project/kind.h"

#include <stdbool.h>
#include <stdint.h>

/* Paths of the programs of this installation that go along. */
struct guest_programs {
	const char *agent;
	const char *devbox; /* dxvm-devbox */
};

struct guest_boot {
	int kernel_fd; /* read-only */
	int initrd_fd; /* read-only; with our programs added, but for a guest that boots itself */
	int disk_fd;   /* read-write, or -1 */
	char *cmdline;
};

#define GUEST_BOOT_INIT                                                                            \
	{                                                                                          \
		.kernel_fd = -1, .initrd_fd = -1, .disk_fd = -1                                    \
	}

/* Opens it all and changes nothing; the descriptors and the string are the caller's. `previous`:
 * the system before the present one, of a guest that boots itself. ERR_NOT_FOUND names what is
 * missing and what to do. */
int guest_boot_open(int data_dir, const struct kind *kind, const struct guest_programs *programs,
		    bool previous, struct guest_boot *ret_boot, struct err *err);
/* Makes the disk longer where `size` says so, never shorter. */
int guest_disk_grow(int disk, uint64_t size, struct err *err);
void guest_boot_close(struct guest_boot *boot);
