#pragma once
/*
 * Watching directories of the host for changes, where the host can (inotify; elsewhere watch_open
 * says no and the share lives by short time-outs). A seam: changes.c decides what events mean.
 */
#include <stdbool.h>
#include <stdint.h>

enum watch_kind {
	WATCH_NAME,	 /* `name` came, went or became another object */
	WATCH_CONTENT,	 /* `name` has other content or attributes */
	WATCH_WRITTEN,	 /* `name` certainly has other content */
	WATCH_CLOSED,	 /* by somebody who could write, through a mapping unnoticed */
	WATCH_UNMOUNTED, /* the file system that the directory is on; the watch ends, too */
	WATCH_GONE,	 /* the watch ended by itself: the directory is no more */
	WATCH_OVERFLOW,	 /* events were lost; `id` is meaningless */
};

struct watch_event {
	enum watch_kind kind;
	int id;
	const char *name;
};

/* A descriptor to poll and to give to the others, or -1. */
int watch_open(void);
/* The id of the watch on a directory (an open one, O_PATH will do), or a negative errno. Not for
 * file systems that somebody else can change unseen (network). */
int watch_add(int watch, int dir);
void watch_remove(int watch, int id);
/* Takes some of what is there: in a storm of events the guest's requests get their turn, too. */
void watch_read(int watch, void (*event)(void *context, const struct watch_event *event),
		void *context);
