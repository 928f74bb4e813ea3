#include "base/mem.h"
#include "cli/command.h"
#include "cli/enter.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "cli/where.h"

static const struct option exec_options[] = {
    {.name = "tty", .letter = 't', .summary = "give the command a terminal, or fail"},
    {.name = "no-tty", .letter = 'T', .summary = "give it pipes, also when run from a terminal"},
    {0},
};

/* A terminal when ours is one, unless told otherwise. */
static int choose_tty(const struct invocation *invocation, bool *ret_tty, struct err *err)
{
	*ret_tty = terminal_present() && !options_flag(&invocation->options, "no-tty");
	if (options_flag(&invocation->options, "tty") && !terminal_present())
		return err_set(err, ERR_USAGE,
			       "--tty: standard input and output are not a terminal");
	return 0;
}

static int work(struct client *client, void *ctx, struct err *err)
{
	return session_run(client, ctx, err);
}

static int run(const struct invocation *invocation, struct err *err)
{
	auto_project struct project project = {0};
	auto_free char *cwd = NULL;
	struct session_options session = {.arguments = invocation->arguments,
					  .detach = PROTO_DETACH_COMMAND,
					  .quiet = options_flag(&invocation->options, "quiet")};

	if (choose_tty(invocation, &session.tty, err) < 0 ||
	    command_project(invocation, &project, err) < 0)
		return -1;
	cwd = where_in_project(&project);
	session.cwd = cwd;
	return enter_and(&project, command_progress(invocation), work, &session, err);
}

const struct command cmd_exec = {
    .name = "exec",
    .arguments = "COMMAND [ARGUMENT]...",
    .summary = "run a command in the project's VM and end with its status",
    .options = exec_options,
    .min_arguments = 1,
    .max_arguments = -1,
    .verbatim = true,
    .run = run,
};
