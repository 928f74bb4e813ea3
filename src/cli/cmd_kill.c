#include "cli/command.h"
#include "cli/enter.h"
#include "project/data_dir.h"
#include "project/live.h"
#include "project/saved.h"

#include <errno.h>
#include <signal.h>

/* Nobody runs it, and as long as we have its lock nobody will. */
static int kill_suspended(int data_dir, struct progress *progress, struct err *err)
{
	if (!saved_is_there(data_dir, NULL)) {
		progress_note(progress, "the VM is not running");
		return 0;
	}
	if (saved_remove(data_dir, err) < 0)
		return -1;
	progress_note(progress, "the VM was suspended; what ran in it is lost, its disk is not");
	return 0;
}

/* The machine dies with its supervisor, which is named by the lock it holds. */
static int run(const struct invocation *invocation, struct err *err)
{
	auto_project struct project project = {0};
	auto_live struct live live = {0};
	struct progress progress;
	auto_close int data_dir = -1;
	auto_close int lock = -1;

	if (command_project(invocation, &project, err) < 0 ||
	    data_dir_open(&project, &data_dir, NULL, err) < 0)
		return -1;
	if (live_take(data_dir, &lock, err) == 0) {
		progress_init(&progress, command_progress(invocation));
		return kill_suspended(data_dir, &progress, err);
	}
	if (err->code != ERR_BUSY || live_read(data_dir, &live, err) < 0)
		return -1;
	if (live.pid <= 1)
		return err_set(err, ERR_BUSY,
			       "another dxvm makes, starts or removes the VM; try again");
	if (kill(live.pid, SIGKILL) < 0 && errno != ESRCH)
		return err_sys(err, "kill its supervisor (pid %ld)", (long)live.pid);
	return enter_wait_gone(&project, live.pid, err);
}

const struct command cmd_kill = {
    .name = "kill",
    .arguments = "",
    .summary = "end the VM at once, as if its power went: for one that does not stop",
    .any_project = true,
    .run = run,
};
