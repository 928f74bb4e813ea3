#pragma once
/*
 * The guest's user and what belongs to it: account, home, sudo, runtime directory, Nix.
 */
#include "agent/user.h"
#include "base/err.h"
#include "wire/message.h"

/* Makes the account what the message says it is. */
int home_make_account(const struct message_configure *configure, struct err *err);

/* Makes the directories the user must have. */
int home_make(const struct user *user, struct err *err);
/* Gives them /nix, if that is root's and nothing is in its store: one that is used belongs to a daemon. */
int home_give_nix(const struct user *user, struct err *err);

/* mkdir -p; new directories inside the user's home are the user's, others root's. */
int home_mkdirs(const struct user *user, const char *path, struct err *err);
