#pragma once
/*
 * The root file system on a disk: finding it, moving into it, growing it.
 */
#include "base/err.h"

#include <stdint.h>

/* Waits for the device (bounded), mounts it, moves there with /proc, /sys and /dev, and frees the
 * initramfs. On failure everything is where it was. */
int root_switch(const char *device, struct err *err);

/* Makes the ext4 file system that is mounted at / as large as its device, if that has grown. */
int root_grow(struct err *err);
