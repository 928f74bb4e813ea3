#pragma once
/*
 * Whether a VM is suspended: its state lies in `saved/` of the data directory, and counts once
 * `manifest` is there (supervisor/saved_state.h). Without it the other files are leftovers.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define SAVED_DIR      "saved"
#define SAVED_MANIFEST "manifest"
#define SAVED_RAM      "ram"
#define SAVED_DEVICES  "devices"
#define SAVED_SHARE    "share"

/* ret_bytes: what it takes on the disk; may be NULL. */
bool saved_is_there(int data_dir, uint64_t *ret_bytes);

/* Synced: after this no power cut brings it back. What is not there is no error. For who holds the
 * VM's lock. */
int saved_remove(int data_dir, struct err *err);
