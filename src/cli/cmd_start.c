#include "cli/command.h"
#include "cli/enter.h"

#include "base/mem.h"
#include "base/path.h"
#include "project/live.h"

#include <errno.h>

static const struct option start_options[] = {
    {.name = "dry-run", .letter = 'n', .summary = "print the command line of the machine instead"},
    {.name = "previous", .summary = "nixos: boot the system from before the last nixos-rebuild"},
    {0},
};

/* The supervisor alone knows machines: it prints what it would run. */
static int dry_run(const struct project *project, struct err *err)
{
	auto_free char *self = path_self(err);

	if (!self)
		return -1;
	char *const argv[] = {
	    self, (char[]){LIVE_COMMAND}, project->root, project->data_dir, (char[]){"--dry-run"},
	    NULL};
	(void)execv(self, argv);
	return err_sys(err, "run %s", self);
}

static int run(const struct invocation *invocation, struct err *err)
{
	auto_project struct project project = {0};
	auto_client struct client *client = NULL;

	if (command_project(invocation, &project, err) < 0)
		return -1;
	if (options_flag(&invocation->options, "dry-run"))
		return dry_run(&project, err);
	if (options_flag(&invocation->options, "previous"))
		return enter_previous(&project, command_progress(invocation), &client, err);
	return enter_started(&project, command_progress(invocation), &client, err);
}

const struct command cmd_start = {
    .name = "start",
    .arguments = "",
    .summary = "start the project's VM, and return when it is ready",
    .options = start_options,
    .run = run,
};
