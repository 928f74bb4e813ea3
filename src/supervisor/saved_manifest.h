#pragma once
/*
 * What a saved state is, and what it fits: the file that makes the others one. It is compared with
 * what would be started now, never executed. Signed, bounded, read with the wire's checked reader.
 */
#include "base/err.h"
#include "project/file_id.h"
#include "vm/vm.h"

#include <stdbool.h>
#include <stdint.h>

#define SAVED_MEMORY_MAX ((uint64_t)1 << 40) /* as much as the setting `mem` allows */
#define SAVED_BLOB_MAX	 ((uint64_t)64 << 20)
#define SAVED_TEXT_MAX	 65536 /* bytes of `machine`, and of `processor` */

/* Which file exactly, and untouched since. All zero: none. */
struct saved_file_id {
	struct file_id file;
	uint64_t size, mtime_ns;
};

/* Memory that lies in a file of its own. */
struct saved_blob {
	uint64_t bytes;
	uint64_t *sums; /* one a piece (saved_ram.h), the manifest's */
};

struct saved_manifest {
	char *machine;		/* the machine's command line, one argument a line */
	enum vm_accel accel;	/* so that nobody has to find out again */
	char *processor;	/* what guest code may have found out of the host; "" under TCG */
	uint8_t boot_nonce[16]; /* of the guest's agent */
	uint8_t generation[16]; /* of the disk (saved_state.h) */
	struct saved_file_id disk, kernel, initrd;
	struct saved_blob ram, state, share;
};

/* The bytes of the file, signed for the VM of that id. */
int saved_manifest_seal(const struct saved_manifest *manifest, const char *id, char **ret_bytes,
			size_t *ret_length, struct err *err);
/* Checks and reads; saved_manifest_done frees. */
int saved_manifest_open(const void *bytes, size_t length, const char *id,
			struct saved_manifest *ret_manifest, struct err *err);
void saved_manifest_done(struct saved_manifest *manifest);
#define auto_manifest CLEANUP(saved_manifest_done)

/* The largest such file. */
#define SAVED_MANIFEST_MAX ((size_t)16 << 20)

/* The file that has this name now; all zero when there is none. */
void saved_file_identify(int dir, const char *name, struct saved_file_id *ret_id);
bool saved_file_same(const struct saved_file_id *a, const struct saved_file_id *b);
