#include "cli/command.h"

#include <stdio.h>

static int run(const struct invocation *invocation, struct err *err)
{
	(void)invocation;
	(void)err;
	(void)puts("dxvm " DXVM_VERSION);
	return 0;
}

const struct command cmd_version = {
    .name = "version",
    .arguments = "",
    .summary = "say which version this is",
    .run = run,
};
