#pragma once
/*
 * Makes the kernel forget what it knows of one mount: names and inodes that nobody uses, with the
 * pages of their files. What is in use is looked up again when it proves stale. Of other file
 * systems nothing is forgotten: the guest's own disk would have to be read again.
 */
#include "base/err.h"

int share_forget_names(const char *path, struct err *err);
