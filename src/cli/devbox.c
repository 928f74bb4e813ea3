#include "cli/devbox.h"

#include "base/fingerprint.h"
#include "base/mem.h"
#include "cli/enter.h"
#include "cli/install.h"
#include "cli/session.h"
#include "cli/sessions.h"
#include "cli/terminal.h"
#include "cli/where.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 8 /* besides options and arguments */

/* The rest is dxvm's own: of every command, or of install, which may have come before. */
static const char *const for_guest[] = {"env", "env-file", "list", "print-env", "pure"};

static bool is_for_guest(const struct option *option)
{
	for (size_t i = 0; i < ARRAY_SIZE(for_guest); i++)
		if (strcmp(option->name, for_guest[i]) == 0)
			return true;
	return false;
}

/* The command for the guest. The vector is the caller's, its words are not. */
static char **make_words(const struct invocation *invocation, const char *verb, char **ret_flags)
{
	const struct options *options = &invocation->options;
	char **words =
	    xcalloc(WORDS_MAX + 2 * options->count + (size_t)invocation->count, sizeof(*words));
	const char *fixed[] = {"dxvm-devbox", "enter", verb};
	size_t count = 0;
	size_t flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		words[count++] = (char *)(uintptr_t)fixed[i];
	for (size_t i = 0; i < options->count; i++) {
		const struct option *option = options->given[i].option;
		const char *value = options->given[i].value;

		if (!is_for_guest(option) || (!option->argument && strcmp(value, "true") != 0))
			continue;
		ret_flags[flags] = xasprintf("--%s", option->name);
		words[count++] = ret_flags[flags++];
		if (option->argument)
			words[count++] = (char *)(uintptr_t)value;
	}
	if (strcmp(verb, "run") == 0 && invocation->count > 0)
		words[count++] = (char *)(uintptr_t) "--";
	for (int i = 0; i < invocation->count; i++)
		words[count++] = invocation->arguments[i];
	return words;
}

/* A shell as it comes, and not one that is asked for with something of its own. */
static bool any_shell_will_do(const struct options *options)
{
	for (size_t i = 0; i < options->count; i++)
		if (is_for_guest(options->given[i].option))
			return false;
	return terminal_present() && !options_flag(options, "new");
}

/* What is wanted in the guest. */
struct wish {
	char *const *words;
	const char *cwd;
	struct sessions_enter enter;
	bool shell;
	bool any; /* one that is there already will do */
};

static int plain_shell(struct client *client, const struct wish *wish, struct err *err)
{
	char *const none[] = {NULL};
	const struct session_options session = {.tty = terminal_present(),
						.arguments = none,
						.cwd = wish->cwd,
						.detach = PROTO_DETACH_SHELL,
						.quiet = wish->enter.quiet};

	if (!wish->enter.quiet)
		(void)fprintf(stderr, "dxvm: this guest has no dxvm-devbox: a plain shell\n");
	return session_run(client, &session, err);
}

static int work(struct client *client, void *ctx, struct err *err)
{
	const struct wish *wish = ctx;
	bool missing = false;
	bool open = true;
	int status = -1;
	const struct session_options session = {
	    .tty = terminal_present(),
	    .arguments = wish->words,
	    .cwd = wish->cwd,
	    .ret_missing = wish->shell ? &missing : NULL,
	    .detach = wish->shell ? PROTO_DETACH_SHELL : PROTO_DETACH_COMMAND,
	    .quiet = wish->enter.quiet,
	};

	if (wish->any)
		status = sessions_return(client, &wish->enter, &open, err);
	if (open)
		status = session_run(client, &session, err);
	return missing ? plain_shell(client, wish, err) : status;
}

int devbox_run(const struct invocation *invocation, const char *verb, struct err *err)
{
	auto_project struct project project = {0};
	auto_free char *cwd = NULL;
	char *flags[OPTIONS_MAX] = {NULL};
	auto_free char **words = make_words(invocation, verb, flags);
	struct wish wish = {
	    .words = words,
	    .shell = strcmp(verb, "shell") == 0,
	    .enter = {.quiet = options_flag(&invocation->options, "quiet")},
	};
	int status = -1;

	wish.any = wish.shell && any_shell_will_do(&invocation->options);
	if (command_project(invocation, &project, err) == 0 &&
	    (!wish.shell || install_offer(&project, command_progress(invocation), err) == 0)) {
		cwd = where_in_project(&project);
		wish.cwd = cwd;
		wish.enter.environment = fingerprint_project(project.root);
		status = enter_and(&project, command_progress(invocation), work, &wish, err);
	}
	for (size_t i = 0; i < OPTIONS_MAX; i++)
		free(flags[i]);
	return status;
}
