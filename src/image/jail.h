#pragma once
/*
 * A place to make a root file system in: its own mounts and process ids, so that when the program
 * started there ends or is killed nothing of it is left; and, for an ordinary user, a user
 * namespace where the user is root and the user's subordinate ids (subuid(5)) are everybody else.
 * By unshare(1).
 */
#include "base/err.h"
#include "image/child.h"

#include <stdbool.h>

/* Whether this user can; the error says what to type so that it can. */
int jail_check(struct err *err);

/* child_run in the jail. */
int jail_run(const struct child *child, struct err *err);

/* What jail_check suggests: the first 65536 ids above 100000 that none of the ranges in the texts
 * of /etc/subuid and /etc/subgid touches. */
unsigned long jail_free_range(const char *subuid, const char *subgid);

/* Whether the text of a subuid file gives the user (by name or number) at least 65536 ids. */
bool jail_has_range(const char *subuid, const char *user, unsigned long uid);
