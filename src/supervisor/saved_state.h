#pragma once
/*
 * A suspended VM on disk (project/saved.h): RAM, device state, the share server's state, and the
 * manifest that makes them one. It counts from the moment the manifest is renamed into place, which
 * is when everything else, the disk included, is on stable storage; and until the manifest is
 * removed, which happens before the guest goes on: there is never RAM beside a newer disk.
 *
 * Against what those two rules cannot see (files put back from a backup, a disk changed by another
 * program) each start of a machine writes a new random generation into the data directory, and the
 * manifest names the generation and the exact disk it belongs to.
 *
 * Everything may run on any thread; the data directory's lock is the caller's.
 */
#include "project/identity.h"
#include "supervisor/saved_manifest.h"

#include <stdatomic.h>

/* Memory to be saved from or filled; the descriptors are the caller's. share may be -1. */
struct saved_memory {
	int ram, state, share;
	uint64_t ram_bytes;
};

/* In manifest: machine, processor, boot_nonce are given; the rest is filled in. What the guest has
 * written to the shared directories must be on stable storage before (saved_sync). ERR_CANCELLED
 * when *cancel became true. After any failure nothing is left. */
int saved_state_write(int data_dir, const struct identity *identity,
		      const struct saved_memory *memory, struct saved_manifest *manifest,
		      const atomic_bool *cancel, struct err *err);

/* Of the next three only ERR_INVALID and ERR_NOT_FOUND say something of what was saved, all else of
 * the host, where the same may work later. */
/* ERR_NOT_FOUND: there is none. ERR_INVALID: damaged or not ours. saved_manifest_done frees. */
int saved_state_open(int data_dir, const struct identity *identity,
		     struct saved_manifest *ret_manifest, struct err *err);
/* Whether it can go on as this machine on this disk; ERR_INVALID says what is different,
 * ERR_NOT_FOUND that a machine has run since. */
int saved_state_fits(int data_dir, const struct saved_manifest *manifest, const char *machine,
		     const char *processor, struct err *err);
/* Fills memory, which must be all zero. ERR_INVALID when something is damaged. */
int saved_state_read(int data_dir, const struct saved_manifest *manifest,
		     const struct saved_memory *memory, const atomic_bool *cancel, struct err *err);

/* A machine is about to run on the disk: what was saved before, and every copy of it, is void for
 * good. Needs no room on the disk. */
int saved_state_void(int data_dir, struct err *err);
/* The file with the RAM, or -1: to free that much takes long, and as long as it is open it can
 * wait. The caller's. */
int saved_state_hold(int data_dir);

/* All that was written to the file system this directory is on. */
int saved_sync(int dir, struct err *err);

/* What guest code under KVM may have found out of this processor. The caller's. */
char *saved_processor(void);
