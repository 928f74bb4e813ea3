#include "base/file.h"
#include "cli/command.h"
#include "cli/enter.h"
#include "cli/progress.h"
#include "project/data_dir.h"
#include "project/saved.h"

#include <stdio.h>
#include <time.h>

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static int say_what_it_takes(const struct project *project, struct progress *progress,
			     const struct timespec *start, struct err *err)
{
	auto_close int data_dir = -1;
	uint64_t bytes = 0;
	char text[96];

	if (data_dir_open(project, &data_dir, NULL, err) < 0)
		return -1;
	if (!saved_is_there(data_dir, &bytes))
		return err_set(err, ERR_GUEST,
			       "the VM ended, but nothing was saved; `dxvm logs` may tell more");
	(void)snprintf(text, sizeof(text), "suspended in %.2f s, %.0f MiB on disk",
		       seconds_since(start), (double)bytes / (1 << 20));
	progress_note(progress, text);
	return 0;
}

/* One that is being started, or comes back, is suspended when it is there. */
static int suspend(const struct project *project, enum progress_mode mode, struct err *err)
{
	for (int attempt = 0;; attempt++) {
		auto_client struct client *client = NULL;

		if (enter_running(project, &client, err) < 0)
			return -1;
		if (enter_end(project, client, PROTO_SUSPEND, "suspending the VM", mode, err) == 0)
			return 0;
		if (err->code != ERR_AGAIN || attempt >= ENTER_AGAIN_MAX)
			return -1;
		if (enter_wait_ready(client, mode, err) < 0 &&
		    (err->code != ERR_AGAIN ||
		     enter_wait_gone(project, client_pid(client), err) < 0))
			return -1;
	}
}

static int run(const struct invocation *invocation, struct err *err)
{
	auto_project struct project project = {0};
	struct progress progress;
	struct timespec start;
	int status;

	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	if (command_project(invocation, &project, err) < 0)
		return -1;
	status = suspend(&project, command_progress(invocation), err);
	if (status < 0 && err->code != ERR_NOT_FOUND)
		return -1;
	progress_init(&progress, command_progress(invocation));
	if (status < 0) {
		progress_note(&progress, err->text);
		return 0;
	}
	status = say_what_it_takes(&project, &progress, &start, err);
	progress_done(&progress);
	return status;
}

const struct command cmd_suspend = {
    .name = "suspend",
    .arguments = "",
    .summary = "save the VM as it is to disk and end it; `dxvm` goes on with it",
    .run = run,
};
