#pragma once
/*
 * A command: one verb, one file, one entry in the table of commands.c. Help, completions and the
 * command list of the man page are made from the entries.
 */
#include "base/err.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "project/project.h"

#include <stdbool.h>

struct invocation {
	const struct command *command;
	struct options options;
	char *const *arguments; /* NULL-terminated, what follows the options */
	int count;
};

struct command {
	const char *name;
	const char *arguments; /* for the usage line: "COMMAND [ARGUMENT]..." or "" */
	const char *summary;   /* one line, no full stop */
	const struct option *options;
	int min_arguments;
	int max_arguments; /* -1: any number */
	bool any_project;  /* also of one that is not shared: nothing is started */
	bool verbatim; /* options end at the first argument: the rest belongs to the guest's command
			*/
	/* The exit status, or -1 and an error that is printed. */
	int (*run)(const struct invocation *invocation, struct err *err);
};

extern const struct command *const commands[]; /* alphabetical; NULL ends it */
extern const struct option global_options[];

const struct command *command_find(const char *name);
/* A command whose name is close to this one, or NULL. */
const struct command *command_suggest(const char *name);

/* The project of this command line (-c, -datadir, the current directory). */
int command_project(const struct invocation *invocation, struct project *ret_project,
		    struct err *err);

/* How to show progress: --quiet, --progress. */
enum progress_mode command_progress(const struct invocation *invocation);

extern const struct command cmd_adopt;
extern const struct command cmd_attach;
extern const struct command cmd_completion;
extern const struct command cmd_config;
extern const struct command cmd_console;
extern const struct command cmd_exec;
extern const struct command cmd_help;
extern const struct command cmd_install;
extern const struct command cmd_keep;
extern const struct command cmd_kill;
extern const struct command cmd_logs;
extern const struct command cmd_ls;
extern const struct command cmd_restart;
extern const struct command cmd_rm;
extern const struct command cmd_run;
extern const struct command cmd_services;
extern const struct command cmd_sessions;
extern const struct command cmd_shell;
extern const struct command cmd_start;
extern const struct command cmd_status;
extern const struct command cmd_stop;
extern const struct command cmd_suspend;
extern const struct command cmd_version;
