#pragma once
/*
 * How far the kernel reads ahead on a mount: 128 KiB by default, which costs a round trip to the
 * host each; a megabyte is what one request can carry.
 */
#include "base/err.h"

/* To be called when the mount has been initialised, else the kernel lowers it again. Reads only
 * what the kernel itself knows of the mount: asking for its attributes would ask the host. */
int share_readahead_set(const char *path, unsigned kilobytes, struct err *err);
