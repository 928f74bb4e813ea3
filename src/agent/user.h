#pragma once
/*
 * Who a session runs as: looked up in the texts of /etc/passwd and /etc/group by ourselves, since a
 * static program has no name services. Lines that cannot be understood are passed over.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define USER_GROUPS_MAX	     256
#define USER_FILE_MAX	     ((size_t)1 << 20)
#define USER_PASSWD_FIELDS   7
#define USER_FALLBACK_SHELL  "/bin/sh"
#define USER_PREFERRED_SHELL "/bin/bash"

struct user {
	char *name;
	uid_t uid;
	gid_t gid;
	char *home;
	char *shell;
	gid_t groups[USER_GROUPS_MAX]; /* supplementary; gid among them */
	size_t group_count;
};

/* The user of that name. ERR_NOT_FOUND when there is none. */
int user_find(const char *passwd, const char *group, const char *name, struct user *ret_user,
	      struct err *err);

/* The same, from the files of this system. */
int user_lookup(const char *name, struct user *ret_user, struct err *err);

/* Whoever runs this process; what the files do not tell comes from $HOME and $SHELL. */
void user_self(struct user *ret_user);

void user_done(struct user *user);
#define auto_user CLEANUP(user_done)

/* One line cut at its colons, in place. Returns how many fields there are, at most `max` are set.
 */
size_t user_split(char *line, char **fields, size_t max);
