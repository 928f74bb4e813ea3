#pragma once
/*
 * Coherence: what others change on the host, the guest learns. A directory is watched before the
 * first answer about what is in it; under a live watch the guest may believe its answers for long,
 * and is told (notices) when they no longer hold. Without a watch it asks again after a second.
 */
#include "share/internal.h"

#define CHANGES_LONG_S	3600u
#define CHANGES_SHORT_S 1u
#define NOTICES_MAX	((size_t)4 << 20)

void changes_init(struct share *share, bool watch);
void changes_done(struct share *share);

/* Watches a directory, lent as a descriptor, if it is not watched already. */
void changes_watch(struct share *share, struct node *node, int dir);
void changes_forget(struct share *share, struct node *node);

/* For how long, in seconds, the guest may believe a name in a directory, and a node's attributes.
 */
uint32_t changes_entry_timeout(const struct share *share, const struct node *parent);
uint32_t changes_attr_timeout(const struct share *share, const struct node *node,
			      const struct os_stat *stat);

/* Before the guest changes the content of a file: what others did to it so far would be taken for its
 * own work. `fd`: the file. */
void changes_before_own(struct share *share, struct node *node, int fd);
/* After a change of the guest's own: what came of it is no news. Of a directory it goes along with the
 * answer (share_along). */
void changes_own(struct share *share, struct node *node, int fd);

/* What the guest's kernel has cached of a file's content is not what is there. */
void changes_tell(struct share *share, const struct node *node);

/* Puts a node where a request found its object, as node_move. Where it was before it is no more, of
 * which no event tells: when that is read, nothing is known at the old place. */
bool changes_found(struct share *share, struct node *node, const struct os_stat *stat,
		   struct node *parent, const char *name);

/* A node that was seen under another name than its place, or may have been: a file with links. */
void changes_note_names(struct share *share, struct node *node, const struct os_stat *stat);

/* Everything may have changed unseen: all nodes are looked at again, step by step. */
void changes_suspect_all(struct share *share);
/* A step of that. True: there is more to do. */
bool changes_step(struct share *share);
