#pragma once
/*
 * Base images, made once and shared by all projects of a user:
 *
 *	STATE/base/KIND-RELEASE-ARCHITECTURE-HASH/{kernel,initrd,rootfs.img}
 *
 * A directory of that name is complete: it is made as NAME.part beside it, synced, and renamed.
 * Making one holds STATE/base/lock; whoever gets the lock removes what an interrupted run left.
 */
#include "base/err.h"
#include "image/recipe.h"

/* Opens the directory of the image, which is made first if need be. */
int base_image_open(const struct recipe *recipe, const char *state, int *ret_dir, struct err *err);
