#include "cli/command.h"
#include "cli/enter.h"

#include <string.h>

static int let_go(struct client *client, void *ctx, struct err *err)
{
	(void)ctx;
	return client_call(client, PROTO_LET_GO, NULL, err);
}

static int stop_keeping(const struct project *project, struct progress *progress, struct err *err)
{
	if (enter_ask(project, let_go, NULL, err) == 0)
		return 0;
	if (err->code != ERR_NOT_FOUND)
		return -1;
	progress_note(progress, err->text);
	return 0;
}

static int keep(const struct project *project, enum progress_mode mode, struct progress *progress,
		struct err *err)
{
	auto_client struct client *client = NULL;

	if (enter_started(project, mode, &client, err) < 0 ||
	    client_call(client, PROTO_KEEP, NULL, err) < 0)
		return -1;
	progress_note(progress, "the VM runs on when nobody uses it, until `dxvm keep off`, or "
				"until it is stopped or suspended");
	return 0;
}

static int run(const struct invocation *invocation, struct err *err)
{
	const char *word = invocation->count > 0 ? invocation->arguments[0] : "on";
	enum progress_mode mode = command_progress(invocation);
	auto_project struct project project = {0};
	struct progress progress;
	bool off = strcmp(word, "off") == 0;
	int status;

	if (!off && strcmp(word, "on") != 0)
		return err_set(err, ERR_USAGE, "keep \"%s\" is not understood; allowed: on, off",
			       word);
	if (command_project(invocation, &project, err) < 0)
		return -1;
	progress_init(&progress, mode);
	status =
	    off ? stop_keeping(&project, &progress, err) : keep(&project, mode, &progress, err);
	progress_done(&progress);
	return status;
}

const struct command cmd_keep = {
    .name = "keep",
    .arguments = "[on|off]",
    .summary = "keep the VM running also when nobody uses it, or no longer",
    .max_arguments = 1,
    .run = run,
};
