#pragma once
/*
 * Which ISO image of NixOS it is to be, and getting it. What was fetched lies in the state
 * directory for all projects, with NAME.iso.from beside it: the hash and the URL it was asked for
 * by, so that it is found again without a network.
 */
#include "base/err.h"
#include "image/hash.h"

#include <stdbool.h>

#define NIXOS_RELEASE "26.05" /* the current stable one */

struct nixos_iso {
	const char *state;   /* directory, is there */
	const char *release; /* "26.05" */
	const char *file;    /* a file of the user's instead; NULL: none */
	bool offline;	     /* only what is in the state directory */
};

/* Its absolute path, the caller's, and its SHA-256. What DXVM_NIXOS_URL says goes before the
 * release. */
int nixos_iso_get(const struct nixos_iso *wish, char **ret_path, char ret_hash[HASH_HEX_SIZE],
		  struct err *err);

/* The release that a label such as "nixos-minimal-26.05-x86_64" names, the caller's; NULL: none. */
char *nixos_iso_release(const char *label);
