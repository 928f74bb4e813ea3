#pragma once
/*
 * PID 1's way from the initramfs to a root file system.
 */
#include "base/err.h"

/* After mounts_early: console, modules, the root named on the kernel's command line (none: stay in
 * the initramfs), the remaining mounts. On failure the guest stays in the initramfs, good for a
 * link over which the reason can be told. */
int init_boot(struct err *err);

/* The value of dxvm.root= on a kernel command line; a new string, NULL when it is not there. */
char *init_find_root(const char *cmdline);
