#include "cli/command.h"

#include <stdio.h>

#define COLUMN 26 /* where summaries begin */

static void print_options(const struct option *options)
{
	for (const struct option *o = options; o && o->name; o++) {
		char text[64];
		int used = snprintf(text, sizeof(text), "  %s%c%s-%s%s%s", o->letter ? "-" : "",
				    o->letter ? o->letter : ' ', o->letter ? ", -" : "  -", o->name,
				    o->argument ? " " : "", o->argument ? o->argument : "");

		(void)printf("%s%*s%s\n", text, used < COLUMN ? COLUMN - used : 1, "", o->summary);
	}
}

static void print_general(void)
{
	(void)puts("dxvm: devbox shell, in a virtual machine of the project's own\n"
		   "\n"
		   "usage: dxvm [OPTION]... [COMMAND [ARGUMENT]...]\n"
		   "\n"
		   "Without a command: open a shell in the VM of the project around the current\n"
		   "directory. -install makes the VM first.\n"
		   "\n"
		   "Commands:");
	for (const struct command *const *c = commands; *c; c++)
		(void)printf("  %-*s%s\n", COLUMN - 2, (*c)->name, (*c)->summary);
	(void)puts("\nOptions:");
	print_options(global_options);
	(void)puts("\nIn a shell, after a newline: ~. leaves, ~? says more. See dxvm(1).");
}

static void print_command(const struct command *command)
{
	(void)printf("usage: dxvm %s [OPTION]... %s\n\n%s.\n", command->name, command->arguments,
		     command->summary);
	if (command->options) {
		(void)puts("\nOptions:");
		print_options(command->options);
	}
	(void)puts("\nOptions of every command:");
	print_options(global_options);
}

static int run(const struct invocation *invocation, struct err *err)
{
	const struct command *command;

	if (invocation->count == 0) {
		print_general();
		return 0;
	}
	command = command_find(invocation->arguments[0]);
	if (!command)
		return err_set(err, ERR_USAGE, "there is no command \"%s\"; `dxvm help` lists them",
			       invocation->arguments[0]);
	print_command(command);
	return 0;
}

const struct command cmd_help = {
    .name = "help",
    .arguments = "[COMMAND]",
    .summary = "say how to use dxvm, or one of its commands",
    .max_arguments = 1,
    .run = run,
};
