#pragma once
/*
 * Files that the guest unlinked and may still have open. With no-open the server is not told which
 * are open, so each known file is kept until the guest forgets the node, right after the unlink when
 * nobody has it open. That goes for FIFOs, sockets and symbolic links too: one that loses a name of
 * several is still there by the others, which the guest asks about by the same node.
 *
 * Kept by moving it into a private directory on the same file system: unlike a descriptor, that
 * survives the end of this process, and so a suspended machine. Where it cannot be moved (another
 * file system, no such directory) a descriptor is kept instead, and content is lost with the
 * process.
 */
#include "share/internal.h"

void orphan_name(const struct share *share, const struct node *node, char *ret_name, size_t size);

/* Takes away the name of a file, keeping its content while the guest may need it. `stat` is what
 * was seen there. 0 or a negative errno. */
int orphan_unlink(struct share *share, struct node *parent, int dir, const char *name,
		  const struct os_stat *stat);

/* Before a rename that replaces the file: gives it a second name (or descriptor), so that the
 * replacement stays atomic. The node, or NULL when there is nothing to keep. Followed by exactly
 * one of orphan_commit and orphan_abort, which take NULL. */
struct node *orphan_prepare(struct share *share, struct node *parent, int dir, const char *name,
			    const struct os_stat *stat);
void orphan_commit(struct share *share, struct node *node, const struct os_stat *stat);
void orphan_abort(struct share *share, struct node *node);

/* The node has a name in the tree again, or is no longer needed. */
void orphan_drop(struct share *share, struct node *node);

/* Removes what no node refers to: left by a server that ended without a word. What such a one moved
 * here last, without living to note it, becomes an orphan after all. */
void orphan_sweep(struct share *share);
