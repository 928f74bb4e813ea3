#include "base/file.h"
#include "base/mem.h"
#include "base/safe_text.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "project/data_dir.h"
#include "project/live.h"
#include "project/registry.h"

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
	auto_free char *files =
	    safe_text(project->data_dir, strlen(project->data_dir), SAFE_TEXT_LINE);
	auto_free char *question =
	    xasprintf("Remove the VM of %s in %s and all that is on its disk?", root, files);
	return ask_yes(question, false) ? 0 : err_set(err, ERR_CANCELLED, "nothing was removed");
}

/* Also what is left of an install or a removal that was cut short. *ret_fd: -1 when nothing of it is
 * left but that it is known. */
static int open_data_dir(const struct project *project, int *ret_fd, struct err *err)
{
	auto_close int fd = -1;

	if (file_open_dir(AT_FDCWD, project->data_dir, &fd, err) < 0 && err->code != ERR_NOT_FOUND)
		return -1;
	if (!registry_has(project->data_dir, fd))
		return data_dir_open(project, ret_fd, NULL, err);
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Without `guest` it is no VM any more, however far the rest gets. */
static int remove_all(const struct project *project, int data_dir, bool *ret_more, struct err *err)
{
	if ((data_dir >= 0 && (file_remove(data_dir, "guest", err) < 0 ||
			       data_dir_remove(project, data_dir, ret_more, err) < 0)) ||
	    registry_forget(project->data_dir, data_dir, err) < 0)
		return err_wrap(err, "remove the VM of %s", project->root);
	return 0;
}

static int run(const struct invocation *invocation, struct err *err)
{
	auto_project struct project project = {0};
	auto_close int data_dir = -1;
	auto_close int lock = -1;
	struct progress progress;
	bool more = false;

	if (command_project(invocation, &project, err) < 0 ||
	    open_data_dir(&project, &data_dir, err) < 0 ||
	    (data_dir >= 0 && live_take_stopped(&project, data_dir, &lock, err) < 0) ||
	    confirm(&project, options_flag(&invocation->options, "force"), err) < 0)
		return -1;
	if (remove_all(&project, data_dir, &more, err) < 0)
		return -1;
	progress_init(&progress, command_progress(invocation));
	if (more) {
		auto_free char *text = xasprintf(
		    "the VM is removed; %s stays: there are other files in it", project.data_dir);
		progress_note(&progress, text);
	}
	progress_done(&progress);
	return 0;
}

const struct command cmd_rm = {
    .name = "rm",
    .arguments = "",
    .summary = "remove the project's VM with its disk; the project stays",
    .options = rm_options,
    .any_project = true,
    .run = run,
};
