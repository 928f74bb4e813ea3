#pragma once
/*
 * Writes a cpio archive in the "newc" form that the Linux kernel unpacks as an initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). Entries are appended to a buf,
 * whose ceiling bounds the archive; everything belongs to root and has time 0, so that the same
 * input gives the same bytes. Archives may follow one another: each is padded to 4 bytes.
 */
#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

struct newc {
	struct buf *out; /* the caller's */
	uint32_t inode;	 /* the last one given away */
};

void newc_init(struct newc *newc, struct buf *out);

/* Names have no leading slash; parents come before what is in them. */
int newc_directory(struct newc *newc, const char *name, mode_t permissions, struct err *err);
int newc_file(struct newc *newc, const char *name, mode_t permissions, const void *data,
	      size_t length, struct err *err);
int newc_symlink(struct newc *newc, const char *name, const char *target, struct err *err);
int newc_char_device(struct newc *newc, const char *name, mode_t permissions, uint32_t major,
		     uint32_t minor, struct err *err);

/* The trailer and the padding; the last call. */
int newc_end(struct newc *newc, struct err *err);
