#pragma once
/*
 * The data directories this user's dxvm made or adopted. A directory is not trusted because of
 * where it lies: a cloned repository can ship a .devbox/vm, a guest can write one. One file a VM,
 * named by its id, in <state>/registry (0700): which directory it is (file_id.h), then its path,
 * which is for people: a directory that was moved is still the same one; a copy is not.
 */
#include "base/err.h"
#include "project/file_id.h"
#include "project/identity.h"

#include <stdbool.h>

struct registered {
	char id[33];
	char *path;
	struct file_id directory;
};

/* Makes the directory known, in place of what was known under this id or of this directory. */
int registry_add(const char *path, int data_dir, const struct identity *identity, struct err *err);

/* ERR_INVALID, with what to do, when the directory is not known. */
int registry_check(const char *path, int data_dir, const struct identity *identity,
		   struct err *err);

/* Forgets it; what was not known is no error. data_dir -1: what was there is gone. */
int registry_forget(const char *path, int data_dir, struct err *err);

/* Forgets this one, as registry_each told of it: not what is known of its path meanwhile. */
int registry_forget_known(const struct registered *known, struct err *err);

/* Whether dxvm made this directory (-1: one of that path), whatever is in it: what has no VM in it
 * then is what is left of an install or a removal that was cut short. */
bool registry_has(const char *path, int data_dir);

/* Calls each for every known VM, in the order of their paths; a return below 0 ends it with that.
 */
int registry_each(int (*each)(void *ctx, const struct registered *known, struct err *err),
		  void *ctx, struct err *err);
