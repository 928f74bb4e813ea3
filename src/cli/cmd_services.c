#include "cli/command.h"
#include "cli/devbox.h"

static int run(const struct invocation *invocation, struct err *err)
{
	return devbox_run(invocation, "services", err);
}

const struct command cmd_services = {
    .name = "services",
    .arguments = "[ARGUMENT]...",
    .summary = "what `devbox services` does, in the VM; for guests that have devbox",
    .max_arguments = -1,
    .verbatim = true,
    .run = run,
};
