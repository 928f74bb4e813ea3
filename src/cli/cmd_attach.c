#include "base/fingerprint.h"
#include "base/number.h"
#include "cli/command.h"
#include "cli/enter.h"
#include "cli/session.h"
#include "cli/sessions.h"
#include "cli/terminal.h"

/* A VM that is started anew has no sessions: do not start it to say so. */
static int check_there(const struct project *project, struct err *err)
{
	if (!enter_is_cold(project))
		return 0;
	return err_set(err, ERR_NOT_FOUND,
		       "the VM does not run, so there is nothing to attach to; `dxvm` starts it");
}

/* The only one that nobody is attached to. */
static int choose(const struct message_sessions *sessions, uint32_t *ret_id, struct err *err)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < sessions->count; i++) {
		if (sessions->listed[i].state == PROTO_SESSION_ATTACHED)
			continue;
		count++;
		*ret_id = sessions->listed[i].id;
	}
	if (count == 1)
		return 0;
	if (count == 0)
		return err_set(err, ERR_NOT_FOUND, "no session is detached");
	sessions_print(sessions, true, stderr);
	return err_set(err, ERR_USAGE, "which one? `dxvm attach ID`");
}

struct wish {
	struct session_options session;
	const struct project *project;
};

static int work(struct client *client, void *ctx, struct err *err)
{
	struct message_sessions sessions CLEANUP(message_sessions_done) = {.count = 0};
	struct wish *wish = ctx;
	struct session_options *session = &wish->session;

	if (sessions_fetch(client, &sessions, err) < 0 ||
	    (!session->attach && choose(&sessions, &session->attach, err) < 0))
		return -1;
	if (!session->quiet)
		sessions_say_changed(&sessions, session->attach,
				     fingerprint_project(wish->project->root));
	return session_run(client, session, err);
}

static int run(const struct invocation *invocation, struct err *err)
{
	auto_project struct project project = {0};
	struct wish wish = {
	    .session = {.tty = true, .quiet = options_flag(&invocation->options, "quiet")},
	    .project = &project,
	};
	const char *text = invocation->arguments[0];
	uint64_t id = 0;

	if (!terminal_present())
		return err_set(err, ERR_USAGE, "standard input and output are not a terminal");
	if (text && (!number_take(&text, 10, UINT32_MAX, &id) || *text || id == 0))
		return err_set(err, ERR_USAGE,
			       "\"%s\" is not the number of a session; `dxvm sessions` lists them",
			       invocation->arguments[0]);
	if (command_project(invocation, &project, err) < 0 || check_there(&project, err) < 0)
		return -1;
	wish.session.attach = (uint32_t)id;
	wish.session.take = id != 0;
	return enter_and(&project, command_progress(invocation), work, &wish, err);
}

const struct command cmd_attach = {
    .name = "attach",
    .arguments = "[ID]",
    .summary = "come back to a session that was detached, or take it from another terminal",
    .max_arguments = 1,
    .run = run,
};
