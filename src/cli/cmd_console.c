#include "cli/command.h"
#include "cli/log_view.h"
#include "project/data_dir.h"

/* Nothing can be typed there: the guests dxvm makes have nobody who listens on it. */
static int run(const struct invocation *invocation, struct err *err)
{
	auto_project struct project project = {0};
	auto_close int data_dir = -1;

	if (command_project(invocation, &project, err) < 0 ||
	    data_dir_open(&project, &data_dir, NULL, err) < 0)
		return -1;
	return log_view(data_dir, "console", true, err);
}

const struct command cmd_console = {
    .name = "console",
    .arguments = "",
    .summary = "watch what the guest's kernel writes, until interrupted",
    .run = run,
};
