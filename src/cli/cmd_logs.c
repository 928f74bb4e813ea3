#include "cli/command.h"
#include "cli/log_view.h"
#include "project/data_dir.h"

static const struct option logs_options[] = {
    {.name = "console", .summary = "print what the guest's kernel wrote instead"},
    {.name = "follow", .letter = 'f', .summary = "go on with what is added, until interrupted"},
    {0},
};

static int run(const struct invocation *invocation, struct err *err)
{
	bool console = options_flag(&invocation->options, "console");
	auto_project struct project project = {0};
	auto_close int data_dir = -1;

	if (command_project(invocation, &project, err) < 0 ||
	    data_dir_open(&project, &data_dir, NULL, err) < 0)
		return -1;
	return log_view(data_dir, console ? "console" : "log",
			options_flag(&invocation->options, "follow"), err);
}

const struct command cmd_logs = {
    .name = "logs",
    .arguments = "",
    .summary = "print the log of the VM's supervisor",
    .options = logs_options,
    .any_project = true,
    .run = run,
};
