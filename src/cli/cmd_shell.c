#include "base/mem.h"
#include "cli/command.h"
#include "cli/enter.h"
#include "cli/install.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "cli/where.h"

static int run(const struct invocation *invocation, struct err *err)
{
	auto_project struct project project = {0};
	auto_client struct client *client = NULL;
	auto_free char *cwd = NULL;
	char *const none[] = {NULL};

	if (command_project(invocation, &project, err) < 0 ||
	    install_offer(&project, command_progress(invocation), err) < 0 ||
	    enter_started(&project, command_progress(invocation), &client, err) < 0)
		return -1;
	cwd = where_in_project(&project);
	const struct session_options session = {
	    .tty = terminal_present(), .arguments = none, .cwd = cwd};
	return session_run(client, &session, err);
}

const struct command cmd_shell = {
    .name = "shell",
    .arguments = "",
    .summary = "open a shell in the project's VM, starting it if need be (also: plain `dxvm`)",
    .run = run,
};
