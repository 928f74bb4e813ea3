#pragma once
/*
 * Base images, made once and shared by all projects of a user:
 *
 *	STATE/base/KIND-RELEASE-ARCHITECTURE-HASH/{kernel,initrd,rootfs.img}
 *
 * A directory of that name is complete: it is made as NAME.part beside it, synced, and renamed.
 * Making one holds STATE/base/lock; whoever gets the lock removes what an interrupted run left, and
 * whoever has made one, those of the same kind that nobody opened for 30 days (by the time of the
 * directory): they hold hundreds of megabytes, and projects have copies.
 */
#include "base/err.h"
#include "image/recipe.h"

/* Opens the directory of the image, which is made first if need be. */
int base_image_open(const struct recipe *recipe, const char *state, int *ret_dir, struct err *err);
