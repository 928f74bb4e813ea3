#pragma once
/*
 * rm -rf, also of a tree that a build as an ordinary user left: its files belong to subordinate ids
 * and can be removed only by their owner, root of the user namespace (image/jail.h).
 */
#include "base/err.h"

/* Nothing there is fine. */
int remove_tree(const char *path, struct err *err);
