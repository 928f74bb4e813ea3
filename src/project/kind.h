#pragma once
/*
 * The kinds of guest a project can have: one table, read by the command line (what to offer), by
 * guest/ (how to boot it) and by the supervisor (which backend runs it). The name is what stands in
 * the file `guest` of a data directory.
 */
#include <stdbool.h>
#include <stddef.h>

struct kind {
	const char *name;
	const char
	    *summary; /* for people, with size and time of the first install; NULL: not offered */
	const char *cmdline; /* kernel command line; of a guest that boots itself: what is added */
	bool has_disk;	     /* disk.img is its root file system; without: the initramfs is */
	bool has_machine;    /* false: the agent runs on this host (tests) */
	bool takes_tools;    /* it gets devbox from this host (project/tools.h) */
	bool boots_itself;   /* the guest writes what is booted, and has our programs on its disk */
};

extern const struct kind kinds[];
extern const size_t kind_count;

/* NULL when there is no such kind. */
const struct kind *kind_find(const char *name);
