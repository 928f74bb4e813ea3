#pragma once
/*
 * What the kernel is told of changes on the host, by threads of its own (share_pump.c says why). The
 * kernel waits for the lock of the directory or file that it is told of, which a program may hold for
 * long; so there are several threads, no two of them at one directory or file. The order does not
 * matter: each only says what is not known any more. Notifications are bounded: where there are more
 * than fit, all that the kernel keeps of the mounts and does not use is dropped instead. What the
 * kernel does not know is told a few times more: an answer about it may have been given to a program
 * that has not come to make it known. It has a lock of its own.
 */
#include "agent/share_pump.h"
#include "base/list.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define SHARE_NOTIFY_THREADS 4

struct share_notify_at {
	int fuse; /* -1: none */
	uint64_t node;
};

struct share_notify {
	pthread_mutex_t lock;
	pthread_cond_t due;
	struct list waiting;
	struct list later; /* to be told again, the first due first */
	size_t count;	   /* of both */
	struct share_notify_at busy[SHARE_NOTIFY_THREADS];
	unsigned threads; /* that have begun */
	const char *mounts[SHARE_PUMP_MOUNTS_MAX];
	size_t mount_count;
	unsigned drops; /* of caches, still to be done: the first at once */
	struct timespec drop_due;
	bool ended;
};

void share_notify_init(struct share_notify *notify);
/* Where there is a mount; the path stays the caller's and must live on. Each mount once. */
void share_notify_mounted(struct share_notify *notify, const char *path);
/* A FUSE notification, copied, for the kernel behind this descriptor of /dev/fuse. */
void share_notify_add(struct share_notify *notify, int fuse, const uint8_t *bytes, size_t length);
/* Names and inodes of the mounts that nobody uses go; again a moment later, when who just used one may
 * have let go of it. */
void share_notify_drop_caches(struct share_notify *notify);
/* Lets the threads end. */
void share_notify_end(struct share_notify *notify);

/* For pthread_create, so many times, with the struct share_notify. */
void *share_notify_thread(void *context);
