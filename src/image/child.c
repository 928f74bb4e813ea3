#include "image/child.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "image/cancel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#define LINE_MAX_BYTES	8192
#define LAST_WORDS_MAX	300
#define ENVIRONMENT_MAX 4096

extern char **environ;

struct stream {
	int fd;
	bool is_error;
	struct buf partial;
};

struct running {
	const struct child *child;
	pid_t pid;
	struct stream streams[2];
	char complaint[LAST_WORDS_MAX]; /* the first line that calls itself an error */
	char last[LAST_WORDS_MAX];	/* the last line on standard error */
};

static void remember(struct running *run, const char *line)
{
	static const char *const marks[] = {"E: ", "error: ", "mke2fs: ", "dpkg: error"};

	(void)snprintf(run->last, sizeof(run->last), "%s", line);
	for (size_t i = 0; i < ARRAY_SIZE(marks) && run->complaint[0] == '\0'; i++)
		if (strncmp(line, marks[i], strlen(marks[i])) == 0)
			(void)snprintf(run->complaint, sizeof(run->complaint), "%s", line);
}

static void take_line(struct running *run, struct stream *stream)
{
	auto_free char *line = buf_take_string(&stream->partial);

	if (line[0] == '\0')
		return;
	if (stream->is_error)
		remember(run, line);
	if (run->child->line)
		run->child->line(run->child->ctx, stream->is_error, line);
}

/* A carriage return ends a line as well: progress meters use it. An overlong line is cut into
 * pieces rather than kept. */
static void feed(struct running *run, struct stream *stream, const char *data, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (data[i] == '\n' || data[i] == '\r' || buf_room(&stream->partial) == 0)
			take_line(run, stream);
		if (data[i] != '\n' && data[i] != '\r' && data[i] != '\0')
			(void)buf_append(&stream->partial, &data[i], 1);
	}
}

/* False at the end of the stream. */
static bool read_some(struct running *run, struct stream *stream)
{
	struct err ignored = ERR_INIT;
	char data[4096];
	ssize_t n = read(stream->fd, data, sizeof(data));

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0) {
		take_line(run, stream);
		close_fd(&stream->fd);
		return false;
	}
	if (run->child->log_fd >= 0)
		(void)file_write_all(run->child->log_fd, data, (size_t)n, &ignored);
	feed(run, stream, data, (size_t)n);
	return true;
}

/* Until both streams ended or we are asked to give up. */
static int pump(struct running *run, struct err *err)
{
	int open_streams = 2;

	while (open_streams > 0) {
		struct pollfd polls[3] = {
		    {.fd = run->streams[0].fd, .events = POLLIN},
		    {.fd = run->streams[1].fd, .events = POLLIN},
		    {.fd = run->child->must_finish ? -1 : cancel_fd(), .events = POLLIN},
		};

		if (poll(polls, ARRAY_SIZE(polls), -1) < 0 && errno != EINTR)
			return err_sys(err, "poll");
		if (!run->child->must_finish && cancel_check(err) < 0)
			return -1;
		for (size_t i = 0; i < 2; i++)
			if (polls[i].revents && !read_some(run, &run->streams[i]))
				open_streams--;
	}
	return 0;
}

/* The environment with `added` in front: getenv finds the first. */
static char **merge_environment(const char *const *added)
{
	char **merged = xcalloc(ENVIRONMENT_MAX + 1, sizeof(*merged));
	size_t count = 0;

	for (size_t i = 0; added && added[i] && count < ENVIRONMENT_MAX; i++)
		merged[count++] = (char *)(uintptr_t)added[i];
	for (size_t i = 0; environ[i] && count < ENVIRONMENT_MAX; i++) {
		size_t name = strcspn(environ[i], "=") + 1;
		bool replaced = false;

		for (size_t j = 0; added && added[j]; j++)
			replaced = replaced || strncmp(environ[i], added[j], name) == 0;
		if (!replaced)
			merged[count++] = environ[i];
	}
	return merged;
}

static int start(struct running *run, struct err *err)
{
#ifdef __linux__
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
#endif
	auto_free char **environment = merge_environment(run->child->environment);
	int out[2];
	int complaints[2];

	if (pipe2(out, O_CLOEXEC) < 0)
		return err_sys(err, "pipe");
	run->streams[0] = (struct stream){.fd = out[0], .is_error = false};
	auto_close int out_end = out[1];
	if (pipe2(complaints, O_CLOEXEC) < 0)
		return err_sys(err, "pipe");
	run->streams[1] = (struct stream){.fd = complaints[0], .is_error = true};
	auto_close int complaints_end = complaints[1];
	struct spawn spawn = {
	    .program = run->child->arguments[0],
	    .arguments = (char *const *)(uintptr_t)run->child->arguments,
	    .environment = environment,
	    .directory = run->child->directory,
	    .fds = (struct spawn_fd[]){{out_end, 1}, {complaints_end, 2}},
	    .fd_count = 2,
	    .die_with_parent = true,
	    .new_session = true,
	};
	for (size_t i = 0; i < 2; i++)
		buf_init(&run->streams[i].partial, LINE_MAX_BYTES);
	run->pid = spawn_start(&spawn, err);
	return run->pid < 0 ? -1 : 0;
}

static int finish(struct running *run, struct err *err)
{
	const char *name = run->child->arguments[0];
	int status;

	while (waitpid(run->pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(err, "wait for %s", name);
	if (status == 0)
		return 0;
	auto_free char *how = spawn_describe(status);
	const char *words = run->complaint[0] ? run->complaint : run->last;
	return err_set(err, ERR_SYSTEM, "%s %s%s%s", name, how, words[0] ? ": " : "", words);
}

/* What a killed child leaves becomes ours (we are a subreaper): once nothing of it is left to wait
 * for, nothing of it runs any more, and its files can be removed. */
static void kill_all(pid_t pid)
{
	(void)kill(-pid, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

int child_run(const struct child *child, struct err *err)
{
	struct running run = {.child = child, .pid = -1, .streams = {{.fd = -1}, {.fd = -1}}};
	int result = 0;

	if (!child->must_finish)
		result = cancel_check(err);
	if (result == 0)
		result = start(&run, err);
	if (result == 0)
		result = pump(&run, err);
	if (run.pid > 0 && result < 0)
		kill_all(run.pid);
	else if (run.pid > 0)
		result = finish(&run, err);
	for (size_t i = 0; i < 2; i++) {
		cleanup_close(&run.streams[i].fd);
		buf_done(&run.streams[i].partial);
	}
	return result;
}
