#include "base/tree.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "project/data_dir.h"
#include "project/live.h"
#include "project/registry.h"
#include "project/saved.h"

/* It gets an identity of its own: the one it has may be another VM's, of which it is a copy. Memory
 * that somebody else saved is not run. */
static int run(const struct invocation *invocation, struct err *err)
{
	auto_project struct project project = {0};
	auto_close int data_dir = -1;
	auto_close int lock = -1;
	struct identity identity;
	struct progress progress;

	if (command_project(invocation, &project, err) < 0 ||
	    data_dir_open_unknown(&project, &data_dir, err) < 0 ||
	    live_take_stopped(&project, data_dir, &lock, err) < 0)
		return -1;
	if (tree_remove(data_dir, SAVED_DIR, err) < 0 ||
	    identity_new(data_dir, &identity, err) < 0 ||
	    registry_add(project.data_dir, data_dir, &identity, err) < 0)
		return err_wrap(err, "adopt %s", project.data_dir);
	progress_init(&progress, command_progress(invocation));
	progress_note(&progress, "adopted; what is on its disk runs as soon as you start it");
	return 0;
}

const struct command cmd_adopt = {
    .name = "adopt",
    .arguments = "",
    .summary = "trust a VM that was copied here or came with a repository",
    .run = run,
};
