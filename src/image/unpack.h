#pragma once
/*
 * Files out of Debian packages, compressed files and ISO images, by libarchive. Package content
 * comes from a signed archive, yet no entry may leave the destination, and sizes are bounded.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Unpacks the regular files of a .deb for which `want` is true into directory `to` (made before),
 * under their own names ("usr/bin/x"), as files of ours that are not executable. Names are given
 * without "./" in front. Hard and symbolic links are left out. */
int unpack_deb(const char *deb, const char *to, bool (*want)(void *ctx, const char *name),
	       void *ctx, struct err *err);

/* Reads a file of at most `max` bytes once decompressed (xz, zstd, gzip, or not compressed). */
int unpack_read(const char *path, size_t max, uint8_t **ret_data, size_t *ret_length,
		struct err *err);

/* A file that is wanted of an image, and what takes its content, piece by piece. */
struct unpack_wish {
	const char *name; /* as Rock Ridge or tar has it, without "/" in front */
	uint64_t max;	  /* bytes; more is an error */
	int (*take)(void *ctx, const void *data, size_t length, struct err *err);
	void *ctx;
	bool found;
};

/* Hands over the wanted regular files, in the order in which they lie in the image. What is not
 * there is not found; that is no error here. The descriptor is read from its beginning. */
int unpack_iso(int iso, struct unpack_wish *wishes, size_t count, struct err *err);
/* The same of a tar archive, compressed with gzip or not at all. */
int unpack_tar(int tar, struct unpack_wish *wishes, size_t count, struct err *err);
