#pragma once
/*
 * The host's directories in the guest: mounted from the share port, each with its guest-local
 * directory bound inside and the host's own path leading to it. The agent owns the set; what is
 * mounted stays mounted until shutdown, also when the supervisor is another one.
 */
#include "agent/user.h"
#include "base/err.h"
#include "wire/message.h"

struct share_pump;

struct shares {
	int port_fd; /* -1: find the virtio port */
	struct share_pump *pump;
	uint32_t mounted[MESSAGE_SHARES_MAX];
	uint32_t mounted_count;
};

/* Mounts what is not mounted yet. May block for as long as the host's server is silent. */
int shares_apply(struct shares *shares, const struct message_configure *configure,
		 const struct user *user, struct err *err);

/* Where the host lends a binary cache; NULL: it does not. The guest must not be able to write one. */
const char *shares_nix_cache(const struct message_configure *configure);

/* Whether a link may be made at that path of the host's: absolute, nothing of the system's. */
bool shares_alias_will_do(const char *alias, const char *path);
/* Makes it, the user's. Whatever the guest has there itself stays as it is. */
int shares_link(const char *alias, const char *path, const struct user *user, struct err *err);
