#pragma once
/*
 * The environment of a session: a small clean base, what the client sent laid over it, and a TERM
 * and locales that the guest knows.
 */
#include "agent/nix.h"
#include "agent/user.h"

/* A new NULL-terminated vector, freed with msg_free_strings. `path`: the PATH to begin with, NULL
 * for the usual one. Entries of `given` without a name or a '=' are dropped, and LANG and LC_*
 * that name a locale which is not there: LANG=C.UTF-8 takes their place. Nix gets its sources. */
char **environment_make(const struct user *user, const char *path, const struct nix_sources *nix,
			bool tty, char *const *given);

/* The value of a variable in such a vector, or NULL. */
const char *environment_get(char *const *environment, const char *name);

/* The first of `term` and some well-known terminals that is in one of these terminfo databases
 * (NULL-terminated); `term` itself may be NULL. "linux" when there is no database at all. */
const char *environment_term(const char *term, const char *const *databases);
