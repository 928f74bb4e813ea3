#include "cli/command.h"

#include <stdint.h>
#include <string.h>

const struct command *const commands[] = {
    &cmd_completion, &cmd_exec,	  &cmd_help, &cmd_install, &cmd_logs, &cmd_shell,
    &cmd_start,	     &cmd_status, &cmd_stop, &cmd_version, NULL,
};

const struct option global_options[] = {
    {.name = "config",
     .letter = 'c',
     .argument = "PATH",
     .summary = "devbox.json, or the directory it is in"},
    {.name = "datadir", .argument = "DIR", .summary = "where the VM's files are kept"},
    {.name = "help", .letter = 'h', .summary = "say how to use dxvm, or a command"},
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

/* Levenshtein distance, by one row; names are short. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[64];
	size_t n = strlen(b);

	if (n >= 63 || strlen(a) >= 63)
		return UINT32_MAX;
	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			unsigned replace = diagonal + (a[i - 1] != b[j - 1]);
			unsigned insert = row[j - 1] + 1;
			unsigned remove = row[j] + 1;

			diagonal = row[j];
			row[j] = replace < insert ? replace : insert;
			if (remove < row[j])
				row[j] = remove;
		}
	}
	return row[n];
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
	return project_find(options_value(&invocation->options, "config"),
			    options_value(&invocation->options, "datadir"), ret_project, err);
}
