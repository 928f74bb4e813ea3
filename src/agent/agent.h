#pragma once
/*
 * The agent itself: what the supervisor asks for on channel 0, and what binds link, sessions,
 * provisioning and shutdown together.
 */
#include "agent/options.h"
#include "base/err.h"

/* Runs until it is told to end, or, as PID 1, until the machine is switched off. `boot_error`:
 * what went wrong before, told to whoever wants to configure the guest; NULL if all is well.
 * The exit status. */
int agent_run(const struct options *options, const char *boot_error);
