#pragma once
/*
 * What the agent is told at boot: the user, the names, the clock, where the project goes. Derived
 * from the host's user and the project directory.
 */
#include "project/identity.h"
#include "project/project.h"
#include "project/settings.h"
#include "project/share_list.h"
#include "wire/message.h"

/* The number on the share port of the first share besides the project, which is 1. */
#define GUEST_CONFIG_FURTHER 2
/* And that of the directory boot/, of a guest that boots itself, or of that with programs for the
 * guest (project/tools.h), of a kind that takes them: none does both. */
#define GUEST_CONFIG_BOOT  15
#define GUEST_CONFIG_TOOLS 15

/* The one pair of ids that the project share maps, and the guest user it stands for. */
struct guest_ids {
	uid_t host_uid; /* whose files the share server makes: the user, or, run as root, the
			   project's owner */
	gid_t host_gid;
	uid_t guest_uid;
	gid_t guest_gid;
};

/* Whether a guest of these settings may ask for programs of this host's. It does if it was told of
 * them when it booted, also when it is resumed by somebody who wants none. */
bool guest_config_takes_tools(const struct project *project, const struct settings *settings);

int guest_config_ids(const char *root, struct guest_ids *ret_ids, struct err *err);

/* Fills *ret_configure (message_configure_done frees it) and *ret_ids. */
int guest_config_make(const struct project *project, const struct identity *identity,
		      const struct settings *settings, const struct share_list *further,
		      struct message_configure *ret_configure, struct guest_ids *ret_ids,
		      struct err *err);
