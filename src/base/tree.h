#pragma once
/* A directory with all that is in it: links are not followed, other file systems not entered. */
#include "base/err.h"

#include <stdint.h>

#define TREE_DEPTH_MAX 128

/* rm -r. Nothing there is fine. An error leaves what could not be removed, and names it. */
int tree_remove(int dir, const char *name, struct err *err);

/* The bytes that its files take on the disk; what cannot be read, or is too much to look at, is not
 * counted. */
uint64_t tree_bytes(int dir, const char *name);
