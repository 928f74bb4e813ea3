#include "cli/command.h"
#include "cli/devbox.h"

static const struct option shell_options[] = {
    DEVBOX_OPTIONS,
    {.name = "new", .summary = "open another shell, also where one is detached"},
    {.name = "print-env", .summary = "print the environment for a shell to read, and open none"},
    {0},
};

static int run(const struct invocation *invocation, struct err *err)
{
	return devbox_run(invocation, "shell", err);
}

const struct command cmd_shell = {
    .name = "shell",
    .arguments = "",
    .summary = "open the project's environment in its VM (also: plain `dxvm`)",
    .options = shell_options,
    .run = run,
};
