#pragma once
/*
 * What a guest wrote to be booted: kernel, initrd and command line in a directory of boot/ (the
 * hook in templates/nixos/dxvm-boot.sh says how they come there). The guest is hostile: no link is
 * followed, nothing but plain files is opened or waited for, sizes are bounded, and of its text
 * only what is an ordinary kernel command line gets into that of the machine.
 */
#include "base/err.h"

#include <stdbool.h>

struct guest_entry {
	int kernel_fd;
	int initrd_fd;
	char *cmdline;
};

/* The entry that is to be booted, or with `previous` the one before it. What is returned is the
 * caller's. */
int guest_entry_open(int boot_dir, bool previous, struct guest_entry *ret_entry, struct err *err);
