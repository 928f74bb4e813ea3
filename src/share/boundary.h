#pragma once
/*
 * What no share shows or lets anyone make: a directory `.devbox/vm`, at any depth, in any spelling
 * that some file system may take for it (ASCII letters of either case; bytes outside ASCII are
 * skipped, since some file systems ignore certain characters). It holds the machine's own state,
 * and a planted one could be mistaken for it. Pure functions of names, and one that looks into a
 * directory.
 */
#include <stdbool.h>
#include <stddef.h>

bool boundary_is_devbox(const char *name);
bool boundary_is_vm(const char *name);

/* Whether `name` may not be seen or made in a directory called `parent`. */
bool boundary_hides(const char *parent, const char *name);

/* Whether the directory `name` in `dir` holds an entry that would be hidden if it were called
 * .devbox. True also when it cannot be read. */
bool boundary_holds_vm(int dir, const char *name);

/* A name as one component: 1 to 255 bytes, no '/' and neither "." nor "..". Returns 0 or a negative
 * errno. */
int boundary_check_name(const char *name, size_t length);
