#pragma once
/*
 * Applies what the supervisor says the guest is to be (struct message_configure). Runs in a worker:
 * it may block. Every step can be done again. What sessions cannot do without is an error; the rest
 * is a warning in the log.
 */
#include "agent/nix.h"
#include "agent/options.h"
#include "agent/shares.h"
#include "base/err.h"
#include "wire/message.h"

/* *ret_nix is the caller's. */
int provision(const struct message_configure *configure, enum agent_mode mode,
	      struct shares *shares, struct nix_sources *ret_nix, struct err *err);

/* The cgroup of sessions, for clone3; -1 if there is none. */
int provision_open_cgroup(void);

/* Microseconds of CPU time that the processes in it have used; 0 when that is unknown. */
uint64_t provision_cpu_used(void);
