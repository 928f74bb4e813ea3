#pragma once
/* Removing a directory with all that is in it. */
#include "base/err.h"

#define TREE_DEPTH_MAX 128

/* rm -r: links are removed, never followed; other file systems are not entered. Nothing there is
 * fine. An error leaves what could not be removed, and names it. */
int tree_remove(int dir, const char *name, struct err *err);
