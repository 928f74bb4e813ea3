#pragma once
/*
 * What makes this guest this one: names, ids of the machine, time, and randomness that no other
 * machine from the same image has.
 */
#include "base/err.h"
#include "wire/message.h"

/* Before anything that could use them: random bytes of the host into the kernel, and the time. */
int identity_seed(const struct message_configure *configure, struct err *err);
int identity_host_name(const char *name, struct err *err);
int identity_machine_id(const uint8_t *id, struct err *err);
/* "" is UTC. A zone the guest does not know is an error. */
int identity_time_zone(const char *zone, struct err *err);

/* /etc/hosts with a line for the host name: a new text, the caller's. */
char *identity_hosts(const char *text, const char *name);
