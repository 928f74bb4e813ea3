#pragma once
/*
 * The project's Devbox environment in the guest. The choice is made there, by dxvm-devbox: devbox
 * itself where the guest has it, else dxvm's own reading of devbox.json. The host makes no sense of
 * that file, since the guest can write it; all it sees is whether its bytes have changed.
 */
#include "cli/command.h"

/* What shell and run have in common; the rest of each table follows it. */
#define DEVBOX_OPTIONS                                                                             \
	{.name = "pure", .summary = "without the variables of the VM, but HOME, PATH and TERM"},   \
	    {.name = "env",                                                                        \
	     .letter = 'e',                                                                        \
	     .argument = "NAME=VALUE",                                                             \
	     .summary = "set a variable; may be given many times"},                                \
	{                                                                                          \
		.name = "env-file", .argument = "FILE",                                            \
		.summary = "set the variables of a file, which the VM can see"                     \
	}

/* Starts the VM if need be and does the verb ("shell", "run", "services") there, with the options
 * and arguments of the invocation, on a terminal if this is one. A guest without dxvm-devbox opens
 * a login shell instead of the environment's. The exit status, or -1. */
int devbox_run(const struct invocation *invocation, const char *verb, struct err *err);
