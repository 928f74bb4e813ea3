#pragma once
/*
 * From a base image to the data directory of one project: boot/kernel, boot/initrd and, where the
 * guest has a disk, disk.img, which is a clone of the image's root file system made longer (the
 * guest grows the file system). Written under other names, synced, renamed; the disk last.
 */
#include "base/err.h"
#include "image/recipe.h"

#include <stdbool.h>
#include <stdint.h>

struct install {
	const struct recipe *recipe;
	const char *state; /* $XDG_STATE_HOME/devbox/vm */
	const char *data;  /* <project>/.devbox/vm, made if need be */
	uint64_t size;	   /* of disk.img, bytes */
	bool force;	   /* replace a disk that is there */
};

/* ERR_EXISTS when there is a disk already. */
int install_run(const struct install *install, struct err *err);
