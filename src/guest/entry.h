#pragma once
/*
 * What a guest wrote to be booted: kernel, initrd and command line in a directory of boot/ (the
 * hook in templates/nixos/dxvm-boot.sh says how they come there). The guest is hostile: no link is
 * followed, nothing but plain files is opened or waited for, sizes are bounded, and of its text
 * only what is an ordinary kernel command line gets into that of the machine.
 */
#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct guest_entry {
	int kernel_fd;
	int initrd_fd;
	char *cmdline;
};

/* Opens a file that somebody else may have made. `label` is how people find it. ERR_NOT_FOUND says
 * that it is missing. Used for all files of a data directory. */
int guest_file_open(int dir, const char *name, const char *label, int flags, off_t max, int *ret_fd,
		    struct err *err);

/* The entry that is to be booted, or with `previous` the one before it. What is returned is the
 * caller's. */
int guest_entry_open(int boot_dir, bool previous, struct guest_entry *ret_entry, struct err *err);
