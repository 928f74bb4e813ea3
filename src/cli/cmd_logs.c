#include "base/file.h"
#include "base/mem.h"
#include "base/safe_text.h"
#include "cli/command.h"
#include "project/data_dir.h"

#include <stdio.h>

#define LOG_MAX ((size_t)4 << 20) /* dxvm keeps its logs below this */

static const struct option logs_options[] = {
    {.name = "console", .summary = "print what the guest's kernel wrote instead"},
    {0},
};

/* Both files hold text that a guest wrote: escaped, so that it cannot work on the terminal. */
static int run(const struct invocation *invocation, struct err *err)
{
	bool console = options_flag(&invocation->options, "console");
	auto_project struct project project = {0};
	auto_close int data_dir = -1;
	auto_free char *text = NULL;
	size_t length = 0;

	if (command_project(invocation, &project, err) < 0 ||
	    data_dir_open(&project, &data_dir, NULL, err) < 0)
		return -1;
	if (file_read(data_dir, console ? "console" : "log", LOG_MAX, &text, &length, err) < 0) {
		if (err->code == ERR_NOT_FOUND)
			return err_set(err, ERR_NOT_FOUND, "the VM of %s was never started",
				       project.root);
		return -1;
	}
	auto_free char *safe = safe_text(text, length, SAFE_TEXT_NEWLINES);
	(void)fputs(safe, stdout);
	return fflush(stdout) == 0 ? 0 : err_sys(err, "write");
}

const struct command cmd_logs = {
    .name = "logs",
    .arguments = "",
    .summary = "print the log of the VM's supervisor",
    .options = logs_options,
    .run = run,
};
