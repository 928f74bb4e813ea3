#include "cli/command.h"
#include "cli/enter.h"
#include "cli/progress.h"
#include "project/data_dir.h"
#include "project/saved.h"

static bool is_suspended(const struct project *project)
{
	auto_close int data_dir = -1;
	struct err ignored = ERR_INIT;

	return data_dir_open(project, &data_dir, NULL, &ignored) == 0 &&
	       saved_is_there(data_dir, NULL);
}

static int run(const struct invocation *invocation, struct err *err)
{
	auto_project struct project project = {0};
	auto_client struct client *client = NULL;
	struct progress progress;

	if (command_project(invocation, &project, err) < 0)
		return -1;
	/* What is suspended has to run to end in order. */
	if (is_suspended(&project)) {
		if (enter_started(&project, command_progress(invocation), &client, err) < 0)
			return -1;
	} else if (enter_running(&project, &client, err) < 0) {
		if (err->code != ERR_NOT_FOUND)
			return -1;
		progress_init(&progress, command_progress(invocation));
		progress_note(&progress, err->text);
		return 0;
	}
	return enter_end(&project, client, PROTO_STOP, "the VM is being stopped",
			 command_progress(invocation), err);
}

const struct command cmd_stop = {
    .name = "stop",
    .arguments = "",
    .summary = "end what runs in the VM, and power it off",
    .any_project = true,
    .run = run,
};
