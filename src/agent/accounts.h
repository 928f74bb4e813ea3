#pragma once
/*
 * The texts of /etc/passwd, group, shadow and gshadow with the guest's user in them. Pure functions
 * from text to new text, the caller's. Doing it again changes nothing; lines of others stay as they
 * are, also those that cannot be understood.
 *
 * Where somebody else has the uid already, our line goes in front of theirs, since the first one
 * found names the files. Where the gid has a name already (on macOS gid 20 is `staff`, in Debian
 * `dialout`), that group is the user's.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define ACCOUNTS_NAME_MAX 31 /* useradd(8) */

struct account {
	const char *name;
	uint32_t uid, gid;
	const char *home;
	const char *shell; /* for a new account; an existing one keeps its own */
};

/* Whether the name may stand in these files. */
bool accounts_name_will_do(const char *name);

char *accounts_passwd(const char *text, const struct account *account);
char *accounts_group(const char *text, const struct account *account);
/* For shadow: without a password, so that only sudo's rules and the agent let the user in. */
char *accounts_shadow(const char *text, const struct account *account);
