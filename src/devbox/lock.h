#pragma once
/*
 * devbox.lock: which store paths a package comes to on a system. Devbox locks all systems, whatever
 * it runs on, so that a guest needs no evaluation.
 */
#include "devbox/config.h"
#include "devbox/json.h"

#define LOCK_NAME  "devbox.lock"
#define LOCK_PATHS 16 /* outputs of one package, at most */

struct lock {
	char *file;	   /* for messages */
	struct json *root; /* NULL: there is no such file */
};

/* A file that is not there is a lock with nothing in it. */
int lock_load(const char *path, const char *file, struct lock *ret_lock, struct err *err);
int lock_parse(const char *file, const char *text, size_t length, struct lock *ret_lock,
	       struct err *err);
void lock_done(struct lock *lock);
#define auto_lock CLEANUP(lock_done)

struct lock_answer {
	const char *paths[LOCK_PATHS]; /* the lock's */
	size_t count;		       /* 0: see `missing` */
	const char *missing;	       /* an output that is not locked, or NULL */
};

/* The paths of this package's outputs: those devbox.json names, else the default ones, else the
 * first. Nothing there is no error. A path that is none in /nix/store is one. */
int lock_find(const struct lock *lock, const struct config_package *package, const char *system,
	      struct lock_answer *ret_answer, struct err *err);

/* /nix/store/HASH-NAME, and no more. */
bool lock_is_store_path(const char *path);
