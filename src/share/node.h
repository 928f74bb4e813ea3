#pragma once
/*
 * The nodes of a share: every file and directory the guest's kernel knows, by the id it was given.
 * A node lives while the kernel counts lookups of it or nodes below it exist. Ids are never reused,
 * so a forged or late id is simply not found. The table owns the nodes and is bounded.
 *
 * A node is found by id, and by identity (device, inode, birth time), so that hard links share one.
 * It remembers one place (parent and name) where it was last seen; the place is a hint that is
 * checked against the identity each time it is used (locate.h).
 */
#include "base/list.h"
#include "share/os.h"

#include <stdbool.h>
#include <stdint.h>

#define NODE_NAME_MAX  255
#define NODE_DEPTH_MAX 1024
#define NODE_ROOT      1u
#define NODE_DEVBOX    2u /* the project's own .devbox, see boundary.h */
#define NODE_FIRST     16u

enum node_place {
	NODE_IN_TREE, /* parent and name */
	NODE_ORPHAN,  /* unlinked by the guest; its content waits among the orphans */
	NODE_GONE,    /* nothing is left of it but what was last seen */
};

struct node_key {
	uint64_t dev, ino;
	int64_t btime_sec;
	uint32_t btime_nsec;
	uint32_t type; /* S_IFMT bits */
};

/* What the guest was last told, to know whether an outside change is news. */
struct node_seen {
	uint64_t size;
	struct timespec mtime, ctime;
	uint32_t mode;
	bool young; /* so new that the next change may leave the same times; not the guest's own */
};

struct node {
	uint64_t id;
	struct node *parent; /* NULL: root, orphan or gone */
	struct node *next_by_id;
	struct node *next_by_key;
	struct node *next_by_place;
	struct node *next_by_watch;
	struct node_key key;
	uint64_t lookups;
	uint32_t children;
	int watch;	 /* of a directory; -1: none */
	bool missed;	 /* of a directory: news from below it while it was not in its place */
	bool many_names; /* it has, or may have, more than the one it has here */
	enum node_place place;
	char *name;
	struct node_seen seen;
	struct list changed; /* among those to be written to the journal */
	struct list open;    /* in the fd cache's order of use, when fd >= 0 */
	int fd;
	bool fd_writable;
	bool fd_pinned; /* the only way to the content of an unlinked file; never closed early */
	bool fd_closed; /* a writable one, by us: the news of that is on its way */
	uint64_t fd_used_ms; /* or closed */
};

struct node_table {
	struct node **by_id;
	struct node **by_key;
	struct node **by_place;
	size_t buckets; /* power of two, of each */
	size_t count;
	size_t max;
	uint64_t next_id;
	bool holding; /* what nothing needs is not released before node_table_sweep */
	/* Before a node is freed, and after it got another place, identity or number of lookups. */
	void (*on_free)(void *context, struct node *node);
	void (*on_change)(void *context, struct node *node);
	void *context;
};

void node_table_init(struct node_table *table, size_t max);
/* Frees all nodes; descriptors must be closed before. */
void node_table_done(struct node_table *table);

struct node_key node_key_of(const struct os_stat *stat);
bool node_key_equal(const struct node_key *a, const struct node_key *b);

struct node *node_by_id(const struct node_table *table, uint64_t id);
/* Not one that is gone without a descriptor: its inode number may belong to another file by now. */
struct node *node_by_key(const struct node_table *table, const struct node_key *key);
/* One of this identity that the guest holds, be it gone. */
bool node_is_held(const struct node_table *table, const struct node_key *key);

/* The node last seen at this place. */
struct node *node_by_place(const struct node_table *table, const struct node *parent,
			   const char *name);

/* A new node in no place yet (NODE_GONE), with no lookups. NULL: the table is full. `id` 0: the
 * next one. */
struct node *node_add(struct node_table *table, uint64_t id, const struct node_key *key);

/* Puts a node at a place in the tree. False when the parent lies below the node itself, which only
 * a tree that changed under our hands can suggest. This and node_leave release the old parent when
 * nothing else needs it. */
bool node_move(struct node_table *table, struct node *node, struct node *parent, const char *name);
/* Takes the node out of the tree. */
void node_leave(struct node_table *table, struct node *node, enum node_place place);
/* Gives the node another identity (the pinned .devbox after it was replaced). */
void node_set_key(struct node_table *table, struct node *node, const struct node_key *key);

/* The kernel was told of the node, or gave `count` of its lookups back. */
void node_count_lookup(struct node_table *table, struct node *node);
void node_forget_lookups(struct node_table *table, struct node *node, uint64_t count);

bool node_is_below(const struct node *node, const struct node *ancestor);

/* Frees the node, and its parents, as far as nothing needs them any more. */
void node_release(struct node_table *table, struct node *node);
/* The same for all; ends `holding`. */
void node_table_sweep(struct node_table *table);
