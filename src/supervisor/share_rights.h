#pragma once
/*
 * What the share server may do: nothing that the owner of the project directory could not.
 */
#include "base/err.h"

/* As root: become the owner of `root` (which may be root), without supplementary groups; give the
 * orphans' directory to them. Then, whoever we are: no capabilities, no new ones by exec, room for
 * enough descriptors. */
int share_rights_drop(int root, int orphans, struct err *err);

/* The last component of the path of an open directory, the caller's. ERR_INVALID when the directory
 * lies in a `.devbox/vm`: such a one is never shared. */
int share_rights_name_of(int fd, char **ret_name, struct err *err);
