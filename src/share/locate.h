#pragma once
/*
 * From a node to the object on the host. A node's place is walked from the root in one go, without
 * following links, each time it is used: no descriptor of a directory is kept, so a directory that
 * was moved out of the share, or under a name that hides it, is out of reach with the next request.
 * What is found must have the node's identity, or the answer is -ESTALE and the guest looks again.
 */
#include "share/internal.h"

/* A directory and a name in it. Made by locate_*, ended with locate_done (or auto_locate). */
struct locate {
	int dir;
	bool owned;
	const char *name; /* lives as long as the node stays where it is */
	char own_name[48];
};

#define LOCATE_INIT                                                                                \
	{                                                                                          \
		.dir = -1                                                                          \
	}
void locate_done(struct locate *at);
#define auto_locate CLEANUP(locate_done)

/* The directory that holds the node, and its name there ("." for the root). Identity unchecked. */
int locate_node(struct share *share, struct node *node, struct locate *ret_at);

/* The node itself as a directory to work in; name is NULL. */
int locate_dir(struct share *share, struct node *node, struct locate *ret_at);

/* The node's place and the object there, identity checked. */
int locate_object(struct share *share, struct node *node, struct locate *ret_at,
		  struct os_stat *ret_stat);

/* Only its attributes; serves files that have a descriptor but no place any more, too. */
int locate_stat(struct share *share, struct node *node, struct os_stat *ret_stat);
