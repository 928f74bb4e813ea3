#include "cli/command.h"

#include <stdint.h>
#include <string.h>

const struct command *const commands[] = {
    &cmd_adopt,	  &cmd_attach,	&cmd_completion, &cmd_config,	&cmd_console,  &cmd_exec,
    &cmd_help,	  &cmd_install, &cmd_keep,	 &cmd_kill,	&cmd_logs,     &cmd_ls,
    &cmd_restart, &cmd_rm,	&cmd_run,	 &cmd_services, &cmd_sessions, &cmd_shell,
    &cmd_start,	  &cmd_status,	&cmd_stop,	 &cmd_suspend,	&cmd_version,  NULL,
};

const struct option global_options[] = {
    {.name = "config",
     .letter = 'c',
     .argument = "PATH",
     .summary = "devbox.json, or the directory it is in"},
    {.name = "datadir", .argument = "DIR", .summary = "where the VM's files are kept"},
    {.name = "help", .letter = 'h', .summary = "say how to use dxvm, or a command"},
    {.name = "progress", .argument = "FORM", .summary = "json: progress as JSON, a line each"},
    {.name = "quiet", .letter = 'q', .summary = "print nothing but errors"},
    {0},
};

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = commands; *c; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

#define NAME_MAX_LENGTH 31

static unsigned least_of(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Typing errors between two words: letters added, left out, replaced, or two swapped (the optimal
 * string alignment distance). Names are short; a longer word is close to none. */
static unsigned distance(const char *a, const char *b)
{
	unsigned d[NAME_MAX_LENGTH + 1][NAME_MAX_LENGTH + 1];
	size_t m = strlen(a);
	size_t n = strlen(b);

	if (m > NAME_MAX_LENGTH || n > NAME_MAX_LENGTH)
		return UINT32_MAX;
	for (unsigned i = 0; i <= m; i++)
		d[i][0] = i;
	for (unsigned j = 0; j <= n; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= m; i++) {
		for (size_t j = 1; j <= n; j++) {
			d[i][j] = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			d[i][j] = least_of(d[i][j], least_of(d[i - 1][j], d[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = least_of(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[m][n];
}

const struct command *command_suggest(const char *name)
{
	const struct command *best = NULL;
	unsigned least = 3; /* two typing errors at most */

	for (const struct command *const *c = commands; *c; c++) {
		unsigned d = distance(name, (*c)->name);

		if (d < least) {
			least = d;
			best = *c;
		}
	}
	return best;
}

int command_project(const struct invocation *invocation, struct project *ret_project,
		    struct err *err)
{
	if (project_find(options_value(&invocation->options, "config"),
			 options_value(&invocation->options, "datadir"), ret_project, err) < 0)
		return -1;
	return invocation->command->any_project ? 0 : project_check(ret_project, err);
}

enum progress_mode command_progress(const struct invocation *invocation)
{
	const char *form = options_value(&invocation->options, "progress");

	if (options_flag(&invocation->options, "quiet"))
		return PROGRESS_QUIET;
	return form && strcmp(form, "json") == 0 ? PROGRESS_JSON : PROGRESS_PEOPLE;
}
