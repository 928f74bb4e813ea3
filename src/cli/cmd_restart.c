#include "cli/command.h"
#include "cli/enter.h"

/* An orderly stop first, if it runs; a suspended VM is resumed for that, so that it can end what it
 * runs and write what it has to write. */
static int run(const struct invocation *invocation, struct err *err)
{
	enum progress_mode mode = command_progress(invocation);
	auto_project struct project project = {0};
	auto_client struct client *before = NULL;
	auto_client struct client *after = NULL;

	if (command_project(invocation, &project, err) < 0)
		return -1;
	if (enter_is_cold(&project))
		return enter_started(&project, mode, &after, err);
	if (enter_started(&project, mode, &before, err) < 0 ||
	    enter_end(&project, before, PROTO_STOP, "the VM is being stopped", mode, err) < 0)
		return -1;
	return enter_started(&project, mode, &after, err);
}

const struct command cmd_restart = {
    .name = "restart",
    .arguments = "",
    .summary = "stop the VM and start it again",
    .run = run,
};
