#pragma once
/*
 * What a base image is made of. A recipe is a row of a table; what it depends on is hashed into the
 * name of the image, so that a change of a template, of the mirror or of the code makes a new one.
 */
#include "base/buf.h"
#include "base/err.h"
#include "image/apt.h"
#include "image/sources.h"

#include <stdbool.h>

struct recipe_context {
	const struct sources *sources;
	const struct apt *apt;
	const char *state;   /* the directory of --state */
	const char *scratch; /* for intermediate files; removed afterwards, whatever happens */
	int output;	     /* directory for kernel, initrd and rootfs.img */
};

struct recipe {
	const char *name; /* as in --guest */
	bool has_disk;
	/* Raised when the code changes what it makes from the same inputs. */
	unsigned int version;
	/* Whether this host and user can do it at all; a clear error before anything is fetched.
	 * NULL: always. */
	int (*check)(const char *state, struct err *err);
	/* Everything but the sources that goes into it. NULL: nothing. */
	void (*add_inputs)(struct buf *inputs);
	int (*make)(const struct recipe_context *context, struct err *err);
};

extern const struct recipe recipe_debian;
extern const struct recipe recipe_tiny;

/* NULL when there is none of that name. */
const struct recipe *recipe_find(const char *name);
