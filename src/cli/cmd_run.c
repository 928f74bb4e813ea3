#include "cli/command.h"
#include "cli/devbox.h"

static const struct option run_options[] = {
    DEVBOX_OPTIONS,
    {.name = "list", .letter = 'l', .summary = "list the scripts of devbox.json"},
    {0},
};

static int run(const struct invocation *invocation, struct err *err)
{
	return devbox_run(invocation, "run", err);
}

const struct command cmd_run = {
    .name = "run",
    .arguments = "[SCRIPT|COMMAND [ARGUMENT]...]",
    .summary = "run a script of devbox.json, or a command, in the project's environment",
    .options = run_options,
    .max_arguments = -1,
    .verbatim = true,
    .run = run,
};
