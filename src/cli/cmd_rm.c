#include "base/mem.h"
#include "base/safe_text.h"
#include "base/tree.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "project/data_dir.h"
#include "project/live.h"
#include "project/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static const struct option rm_options[] = {
    {.name = "force", .letter = 'f', .summary = "do not ask"},
    {0},
};

static int confirm(const struct project *project, bool force, struct err *err)
{
	if (force)
		return 0;
	if (!ask_possible())
		return err_set(err, ERR_USAGE,
			       "this removes the VM of %s with its disk; say --force to do that",
			       project->root);
	auto_free char *root = safe_text(project->root, strlen(project->root), SAFE_TEXT_LINE);
	auto_free char *question =
	    xasprintf("Remove the VM of %s and all that is on its disk?", root);
	return ask_yes(question, false) ? 0 : err_set(err, ERR_CANCELLED, "nothing was removed");
}

static int run(const struct invocation *invocation, struct err *err)
{
	auto_project struct project project = {0};
	auto_close int data_dir = -1;
	auto_close int lock = -1;
	struct identity identity;

	if (command_project(invocation, &project, err) < 0 ||
	    data_dir_open(&project, &data_dir, &identity, err) < 0)
		return -1;
	if (live_take(data_dir, &lock, err) < 0)
		return err->code == ERR_BUSY
			   ? err_set(err, ERR_BUSY,
				     "the VM of %s is running; stop it with `dxvm "
				     "stop` first",
				     project.root)
			   : -1;
	if (confirm(&project, options_flag(&invocation->options, "force"), err) < 0)
		return -1;
	/* Without `guest` it is no VM any more, however far the rest gets. */
	if (unlinkat(data_dir, "guest", 0) < 0 && errno != ENOENT)
		return err_sys(err, "guest");
	if (tree_remove(AT_FDCWD, project.data_dir, err) < 0)
		return -1;
	return registry_remove(identity.hex, err);
}

const struct command cmd_rm = {
    .name = "rm",
    .arguments = "",
    .summary = "remove the project's VM with its disk; the project stays",
    .options = rm_options,
    .run = run,
};
