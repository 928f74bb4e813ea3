#pragma once
/*
 * File systems of the kernel's own at the start, and the end of all of them. For PID 1.
 */
#include "base/err.h"

#include <stdbool.h>

/* Before anything else: /proc, /sys, /dev. Errors show up later, in what is then missing. */
void mounts_early(void);

/* In the root file system the guest is to have: moves the early ones there is left to init_root;
 * this adds devpts, shared memory, message queues, /run, cgroups and the links in /dev. `tiny`: the
 * root is the initramfs, and /tmp becomes a tmpfs of its own. */
void mounts_late(bool tiny);

/* Unmounts what can be unmounted, syncs, and makes the rest read-only. May block. */
void mounts_end_all(void);

/* The kernel's emergency remount: returns at once. */
void mounts_emergency(void);
