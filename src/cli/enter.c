/*
 * Start or connect. The truth about whether a supervisor lives is its lock (project/live.h):
 *
 *	lock taken by us   nobody lives: start one, hand it the lock, read "ok" from its pipe, connect
 *	lock busy          somebody lives: connect to the socket its file names; it may be a moment
 *	                   too early (not written yet) or too late (leaving), so look again for a while
 */
#include "cli/enter.h"

#include "base/mem.h"
#include "base/path.h"
#include "base/spawn.h"
#include "cli/progress.h"
#include "project/data_dir.h"
#include "project/live.h"
#include "project/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOOK_AGAIN_MS 20
#define LOOK_LIMIT_MS 30000 /* a supervisor that leaves waits for its guest to power off */
#define GONE_LIMIT_MS 10000
#define ASK_ATTEMPTS  2

static void pause_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	(void)nanosleep(&t, NULL);
}

/* Takes the lock (*ret_lock >= 0) or connects to its holder (*ret_client). */
static int lock_or_connect(const struct project *project, int data_dir, int *ret_lock,
			   struct client **ret_client, struct err *err)
{
	for (int waited = 0;; waited += LOOK_AGAIN_MS) {
		auto_live struct live live = {0};

		if (live_take(data_dir, ret_lock, err) == 0)
			return 0;
		if (err->code != ERR_BUSY)
			return err_wrap(err, "%s", project->data_dir);
		if (live_read(data_dir, &live, err) == 0 && live.socket) {
			if (client_dial(live.socket, live.pid, ret_client, err) == 0)
				return 0;
			if (err->code == ERR_BUSY) /* no room for one more */
				return -1;
		}
		/* It answers, and will not understand us later either. */
		if (err->code == ERR_PROTOCOL)
			return err_wrap(err,
					"the VM was started by another dxvm (`kill %ld` stops it)",
					(long)live.pid);
		if (waited >= LOOK_LIMIT_MS && live.pid == 0)
			return err_set(err, ERR_BUSY,
				       "another dxvm makes, starts or removes the VM of %s; try "
				       "again when it has ended",
				       project->root);
		if (waited >= LOOK_LIMIT_MS || err->sys == ETIMEDOUT)
			return err_wrap(err,
					"the VM's supervisor (pid %ld) lives but does not answer; "
					"`dxvm kill` ends both",
					(long)live.pid);
		pause_ms(LOOK_AGAIN_MS);
	}
}

int enter_running(const struct project *project, struct client **ret_client, struct err *err)
{
	auto_close int data_dir = -1;
	auto_close int lock = -1;

	if (data_dir_open(project, &data_dir, NULL, err) < 0 ||
	    lock_or_connect(project, data_dir, &lock, ret_client, err) < 0)
		return -1;
	if (lock >= 0)
		return err_set(err, ERR_NOT_FOUND, "the VM of %s is not running", project->root);
	return 0;
}

int enter_ask(const struct project *project, enter_question *question, void *ctx, struct err *err)
{
	int status = -1;

	for (int attempt = 0; status < 0 && attempt < ASK_ATTEMPTS; attempt++) {
		auto_client struct client *client = NULL;

		if (enter_running(project, &client, err) < 0)
			return -1;
		status = question(client, ctx, err);
	}
	return status;
}

bool enter_is_cold(const struct project *project)
{
	auto_close int data_dir = -1;
	auto_close int lock = -1;
	struct err ignored = ERR_INIT;

	return data_dir_open(project, &data_dir, NULL, &ignored) == 0 &&
	       live_take(data_dir, &lock, &ignored) == 0 && !saved_is_there(data_dir, NULL);
}

/* What the new supervisor says on its pipe: LIVE_OK, or an error text. */
static int read_verdict(int pipe_fd, struct err *err)
{
	char text[sizeof(err->text)];
	size_t used = 0;
	ssize_t n;

	while (used < sizeof(text) - 1 &&
	       ((n = read(pipe_fd, text + used, sizeof(text) - 1 - used)) > 0 ||
		(n < 0 && errno == EINTR)))
		used += n > 0 ? (size_t)n : 0;
	text[used] = '\0';
	if (strcmp(text, LIVE_OK) == 0)
		return 0;
	return err_set(err, ERR_GUEST, "%s",
		       used ? text
			    : "the supervisor died while starting; `dxvm logs` may tell more");
}

static int start_supervisor(const struct project *project, int lock, bool previous, struct err *err)
{
	auto_free char *self = path_self(err);
	int ends[2];

	if (!self)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, "pipe");
	auto_close int ready = ends[0];
	auto_close int theirs = ends[1];
	char *const argv[] = {self,
			      (char[]){LIVE_COMMAND},
			      project->root,
			      project->data_dir,
			      previous ? (char[]){LIVE_PREVIOUS} : NULL,
			      NULL};
	const struct spawn_fd fds[] = {{lock, LIVE_LOCK_FD}, {theirs, LIVE_READY_FD}};
	const struct spawn spawn = {
	    .program = self,
	    .arguments = argv,
	    .directory = "/",
	    .fds = fds,
	    .fd_count = ARRAY_SIZE(fds),
	    .new_session = true,
	};
	if (spawn_start(&spawn, err) < 0)
		return -1;
	close_fd(&theirs);
	return read_verdict(ready, err);
}

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/* Connects to the VM's supervisor, started if need be. */
static int reach(const struct project *project, bool previous, struct client **ret_client,
		 bool *ret_started, struct err *err)
{
	auto_close int data_dir = -1;
	auto_close int lock = -1;

	if (data_dir_open(project, &data_dir, NULL, err) < 0 ||
	    lock_or_connect(project, data_dir, &lock, ret_client, err) < 0)
		return -1;
	*ret_started = lock >= 0;
	if (lock < 0)
		return 0;
	if (start_supervisor(project, lock, previous, err) < 0)
		return -1;
	/* The supervisor has inherited the lock; ours must go, or it would outlive it. */
	close_fd(&lock);
	if (lock_or_connect(project, data_dir, &lock, ret_client, err) < 0)
		return -1;
	if (lock >= 0)
		return err_set(err, ERR_GUEST, "the supervisor ended at once; see `dxvm logs`");
	return 0;
}

static int wait_ready(struct client *client, enum progress_mode mode, bool *ret_resumed,
		      struct err *err)
{
	struct progress progress;
	auto_buf struct buf how;
	int status;

	buf_init(&how, PROTO_MESSAGE_MAX);
	progress_init(&progress, mode);
	client_report_to(client, &progress);
	status = client_call(client, PROTO_WAIT_READY, &how, err);
	client_report_to(client, NULL);
	progress_done(&progress);
	*ret_resumed = status == 0 && buf_length(&how) > 0 && buf_data(&how)[0];
	return status;
}

int enter_wait_ready(struct client *client, enum progress_mode mode, struct err *err)
{
	bool resumed;

	return wait_ready(client, mode, &resumed, err);
}

/* Somebody else may have been quicker to start the next one. */
static bool has_another(int data_dir, pid_t pid)
{
	auto_live struct live live = {0};
	struct err ignored = ERR_INIT;

	return live_read(data_dir, &live, &ignored) == 0 && live.pid > 0 && live.pid != pid;
}

static int wait_gone(const struct project *project, pid_t pid, int limit_ms,
		     struct progress *progress, struct err *err)
{
	auto_close int data_dir = -1;
	auto_close int lock = -1;

	if (data_dir_open(project, &data_dir, NULL, err) < 0)
		return -1;
	for (int waited = 0; waited < limit_ms; waited += LOOK_AGAIN_MS) {
		if (has_another(data_dir, pid) || live_take(data_dir, &lock, err) == 0)
			return 0;
		if (err->code != ERR_BUSY)
			return -1;
		if (progress && waited % 1000 == 0)
			progress_tick(progress);
		pause_ms(LOOK_AGAIN_MS);
	}
	return err_wrap(err, "the VM stopped, but its supervisor is still there");
}

int enter_wait_gone(const struct project *project, pid_t pid, struct err *err)
{
	return wait_gone(project, pid, GONE_LIMIT_MS, NULL, err);
}

/* The one that was there ends, as somebody wanted, or was too late: the next one lets us in. The end of
 * one that was started for us counts. */
static int may_try_again(const struct project *project, pid_t pid, bool started, int attempt,
			 enum progress_mode mode, const struct err *why)
{
	struct err ignored = ERR_INIT;
	struct progress progress;
	int status;

	if (started || attempt >= (why->code == ERR_AGAIN ? ENTER_AGAIN_MAX : 1))
		return -1;
	progress_init(&progress, mode);
	progress_stage(&progress, why->text);
	status = wait_gone(project, pid, LOOK_LIMIT_MS, &progress, &ignored);
	progress_done(&progress);
	return status;
}

static int enter(const struct project *project, bool previous, enum progress_mode mode,
		 struct client **ret_client, struct err *err)
{
	auto_client struct client *client = NULL;
	struct timespec start;
	bool started = false;
	bool resumed = false;

	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	for (int attempt = 0;; attempt++) {
		if (reach(project, previous, &client, &started, err) < 0)
			return -1;
		if (wait_ready(client, mode, &resumed, err) == 0)
			break;
		pid_t pid = client_pid(client);

		client_close(take_ptr(&client));
		if (may_try_again(project, pid, started, attempt, mode, err) < 0)
			return -1;
	}
	if (started && mode == PROGRESS_PEOPLE)
		(void)fprintf(stderr,
			      resumed ? "dxvm: resumed in %.2f s\n" : "dxvm: started in %.1f s\n",
			      seconds_since(&start));
	*ret_client = take_ptr(&client);
	return 0;
}

int enter_started(const struct project *project, enum progress_mode mode,
		  struct client **ret_client, struct err *err)
{
	return enter(project, false, mode, ret_client, err);
}

int enter_and(const struct project *project, enum progress_mode mode,
	      int (*work)(struct client *client, void *ctx, struct err *err), void *ctx,
	      struct err *err)
{
	for (int attempt = 0;; attempt++) {
		auto_client struct client *client = NULL;
		int status;

		if (enter(project, false, mode, &client, err) < 0)
			return -1;
		status = work(client, ctx, err);
		if (status >= 0 || err->code != ERR_AGAIN || attempt >= ENTER_AGAIN_MAX)
			return status;
	}
}

int enter_previous(const struct project *project, enum progress_mode mode,
		   struct client **ret_client, struct err *err)
{
	auto_close int data_dir = -1;

	if (data_dir_open(project, &data_dir, NULL, err) < 0)
		return -1;
	if (!enter_is_cold(project))
		return err_set(err, ERR_BUSY,
			       "the VM runs or is suspended; `dxvm stop` first, then start it with "
			       "--previous");
	return enter(project, true, mode, ret_client, err);
}

int enter_end(const struct project *project, struct client *client, enum proto_what what,
	      const char *stage, enum progress_mode mode, struct err *err)
{
	struct progress progress;
	int status;

	progress_init(&progress, mode);
	progress_stage(&progress, stage);
	client_report_to(client, &progress);
	status = client_call(client, what, NULL, err);
	/* One that ended before it was asked to stop is off, which is what was wanted. */
	if (status == 0 ||
	    (what == PROTO_STOP && client_was_sent_away(client) && !client_was_answered(client)))
		status = enter_wait_gone(project, client_pid(client), err);
	client_report_to(client, NULL);
	progress_done(&progress);
	return status;
}
