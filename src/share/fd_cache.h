#pragma once
/*
 * Open files of the share. With no-open each READ and WRITE names only a node; the descriptor is
 * opened when it is needed and closed when another one needs the place. Opened for reading until
 * something is written, and closed soon after the last write: watchers on the host see a
 * CLOSE_WRITE when there was one, and can execute what was just built.
 */
#include "share/internal.h"

/* The node's descriptor, opened now if need be; the cache's. Negative errno. */
int fd_cache_get(struct share *share, struct node *node, bool write);
/* Keeps the file `name` as the node's descriptor until unpin. */
int fd_cache_pin(struct share *share, struct node *node, int dir, const char *name);
void fd_cache_unpin(struct share *share, struct node *node);
void fd_cache_drop(struct share *share, struct node *node);
/* Closes writable descriptors that were not used for a while; milliseconds to the next, or -1. */
int fd_cache_tick(struct share *share);
