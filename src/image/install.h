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
	const struct recipe *recipe; /* NULL: NixOS, which is not made here (image/nixos.h) */
	const char *state;	     /* $XDG_STATE_HOME/devbox/vm */
	const char *data;	     /* <project>/.devbox/vm, made if need be */
	uint64_t size;		     /* of disk.img, bytes */
	bool force;		     /* replace a disk that is there */

	/* Of NixOS. */
	const char *release; /* NULL: the current one */
	const char *iso;     /* a file of the user's; NULL: fetch it */
	bool offline;	     /* fetch nothing */
};

/* Makes both directories if need be, and opens them: *ret_state is an absolute path, the caller's.
 * ERR_EXISTS when there is a disk and not `force`. */
int install_open(const struct install *install, int *ret_data, char **ret_state, struct err *err);

/* ERR_EXISTS when there is a disk already. */
int install_run(const struct install *install, struct err *err);
