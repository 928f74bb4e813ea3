#include "cli/cli.h"

#include "base/mem.h"
#include "base/safe_text.h"
#include "cli/command.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* -install and -version are the seed's way to spell a command. */
static const struct option spelled_commands[] = {
    {.name = "install", .summary = "make the VM, then open a shell"},
    {.name = "version", .summary = "say which version this is"},
    {0},
};

static int unknown_command(const char *name, struct err *err)
{
	const struct command *close = command_suggest(name);

	if (close)
		return err_set(
		    err, ERR_USAGE,
		    "unknown command \"%s\"; did you mean \"%s\"? To run a program in the "
		    "guest: dxvm exec %s",
		    name, close->name, name);
	return err_set(
	    err, ERR_USAGE,
	    "unknown command \"%s\"; `dxvm help` lists them. To run a program in the guest: "
	    "dxvm exec %s",
	    name, name);
}

/* Those in front of the command were read before it was known. */
static int check_own(const struct invocation *invocation, const struct option *more,
		     struct err *err)
{
	const struct option *own = invocation->command->options;
	const struct option *const tables[] = {global_options, more ? more : global_options, own,
					       NULL};
	const struct option *foreign = options_foreign(&invocation->options, tables);

	return foreign ? err_set(err, ERR_USAGE, "--%s is no option of dxvm %s", foreign->name,
				 invocation->command->name)
		       : 0;
}

/* Which command this is; options in front of its name may be its own. *ret_index: what follows. */
static int find_command(struct invocation *invocation, char *const *argv, int *ret_index,
			struct err *err)
{
	const struct option *const tables[] = {global_options, spelled_commands,
					       cmd_install.options, cmd_shell.options, NULL};
	bool ended;

	*ret_index = 1;
	if (options_parse(&invocation->options, tables, argv, ret_index, &ended, err) < 0)
		return -1;
	if (argv[*ret_index] && !ended) {
		invocation->command = command_find(argv[*ret_index]);
		if (!invocation->command)
			return unknown_command(argv[*ret_index], err);
		(*ret_index)++;
		return check_own(invocation, NULL, err);
	} else if (options_flag(&invocation->options, "version")) {
		invocation->command = &cmd_version;
	} else if (options_flag(&invocation->options, "install")) {
		invocation->command = &cmd_install; /* and a shell */
		return 0;
	} else {
		invocation->command = &cmd_shell;
	}
	return check_own(invocation, spelled_commands, err);
}

/* The options and arguments behind the command's name, in any order unless the command is verbatim.
 * Arguments are moved to the front of argv. */
static int sort_words(struct invocation *invocation, char **argv, struct err *err)
{
	const struct option *const tables[] = {global_options, invocation->command->options, NULL};
	bool ended = false;
	int count = 0;

	for (int i = 0; argv[i];) {
		if (!ended && !(invocation->command->verbatim && count > 0)) {
			if (options_parse(&invocation->options, tables, argv, &i, &ended, err) < 0)
				return -1;
			if (!argv[i])
				break;
		}
		argv[count++] = argv[i++];
	}
	argv[count] = NULL;
	invocation->arguments = argv;
	invocation->count = count;
	return 0;
}

static int check_count(const struct invocation *invocation, struct err *err)
{
	const struct command *command = invocation->command;

	if (invocation->count < command->min_arguments)
		return err_set(err, ERR_USAGE, "usage: dxvm %s %s", command->name,
			       command->arguments);
	if (command->max_arguments >= 0 && invocation->count > command->max_arguments)
		return err_set(err, ERR_USAGE, "\"%s\" is one word too many; usage: dxvm %s %s",
			       invocation->arguments[command->max_arguments], command->name,
			       command->arguments);
	return 0;
}

static int check_progress(const struct invocation *invocation, struct err *err)
{
	const char *form = options_value(&invocation->options, "progress");

	return !form || strcmp(form, "json") == 0
		   ? 0
		   : err_set(err, ERR_USAGE, "--progress=%s is not understood; allowed: json",
			     form);
}

static int run(char **argv, struct err *err)
{
	struct invocation invocation = {0};
	int index;

	if (find_command(&invocation, argv, &index, err) < 0 ||
	    sort_words(&invocation, argv + index, err) < 0)
		return -1;
	if (options_flag(&invocation.options, "help")) {
		char *const topic[] = {(char *)(uintptr_t)invocation.command->name, NULL};
		bool general =
		    invocation.command == &cmd_shell && strcmp(argv[index - 1], "shell") != 0;

		invocation.arguments = general ? topic + 1 : topic;
		invocation.count = general ? 0 : 1;
		return cmd_help.run(&invocation, err);
	}
	if (check_count(&invocation, err) < 0 || check_progress(&invocation, err) < 0)
		return -1;
	return invocation.command->run(&invocation, err);
}

int cli_main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	int status;

	(void)argc;
	status = run(argv, &err);
	if (fflush(stdout) < 0 && status >= 0)
		status = err_sys(&err, "write standard output");
	else if (ferror(stdout) && status >= 0)
		status = err_set(&err, ERR_SYSTEM, "write standard output: not all of it arrived");
	if (status >= 0)
		return status;
	auto_free char *text = safe_text(err.text, strlen(err.text), SAFE_TEXT_LINE);
	(void)fprintf(stderr, "dxvm: %s\n", text);
	return err_exit_status(&err);
}
