#include "base/mem.h"
#include "base/safe_text.h"
#include "cli/command.h"
#include "cli/enter.h"
#include "cli/sessions.h"

#include <jansson.h>
#include <string.h>

static const struct option sessions_options[] = {
    {.name = "json", .summary = "print JSON"},
    {0},
};

static void print_json(const struct message_sessions *sessions)
{
	static const char *const states[] = {
	    [PROTO_SESSION_DETACHED] = "detached",
	    [PROTO_SESSION_ATTACHED] = "attached",
	    [PROTO_SESSION_ENDED] = "ended",
	};
	json_auto_t *all = json_array();

	for (uint32_t i = 0; i < sessions->count; i++) {
		const struct message_listed *listed = &sessions->listed[i];
		auto_free char *name = sessions_name(listed);
		json_t *one = json_pack("{s:I, s:s, s:b, s:I, s:i, s:i, s:s}", "id",
					(json_int_t)listed->id, "state", states[listed->state],
					"shell", listed->detach == PROTO_DETACH_SHELL, "started",
					(json_int_t)listed->started_s, "rows", (int)listed->rows,
					"columns", (int)listed->columns, "command", name);

		if (listed->state == PROTO_SESSION_ENDED)
			(void)json_object_set_new(
			    one, listed->how == PROTO_SIGNALED ? "signal" : "status",
			    json_integer((json_int_t)listed->value));
		(void)json_array_append_new(all, one);
	}
	(void)json_dumpf(all, stdout, JSON_INDENT(2));
	(void)putchar('\n');
}

static int ask(struct client *client, void *ret_sessions, struct err *err)
{
	return sessions_fetch(client, ret_sessions, err);
}

static int run(const struct invocation *invocation, struct err *err)
{
	struct message_sessions sessions CLEANUP(message_sessions_done) = {.count = 0};
	bool json = options_flag(&invocation->options, "json");
	auto_project struct project project = {0};

	if (command_project(invocation, &project, err) < 0)
		return -1;
	/* A VM that does not run has none to show, or shows them when it runs. */
	if (enter_ask(&project, ask, &sessions, err) < 0) {
		if (err->code != ERR_NOT_FOUND)
			return -1;
		auto_free char *safe = safe_text(err->text, strlen(err->text), SAFE_TEXT_LINE);
		(void)fprintf(stderr, "dxvm: %s\n", safe);
	}
	if (json)
		print_json(&sessions);
	else
		sessions_print(&sessions, false, stdout);
	return 0;
}

const struct command cmd_sessions = {
    .name = "sessions",
    .arguments = "",
    .summary = "list what runs in the VM for you: id, state, age, size, command",
    .options = sessions_options,
    .run = run,
};
