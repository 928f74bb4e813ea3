/*
 * SIGCHLD is watched before the fork, so that no death is missed, and only our own pid is waited
 * for: the process has other children. stderr is a pipe; all but its last few kilobytes is dropped,
 * so a machine that complains without end costs nothing and never blocks.
 */
#include "vm/child.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/safe_text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define WORDS_MAX ((size_t)4096)
#define READ_SIZE ((size_t)4096)
#define DRAIN_MAX 64 /* reads after its end: who else holds the pipe may write for ever */

struct child {
	pid_t pid;
	child_gone gone;
	void *ctx;
	int words_fd;
	struct buf words;
	uv_signal_t signal;
	uv_poll_t poll;
	int handles; /* not closed yet */
};

/* False at the end of the stream or when there is nothing now. */
static bool read_words(struct child *child)
{
	char piece[READ_SIZE];
	ssize_t n = read(child->words_fd, piece, sizeof(piece));

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			(void)uv_poll_stop(&child->poll);
		return false;
	}
	if (buf_length(&child->words) + (size_t)n > WORDS_MAX)
		buf_consume(&child->words, buf_length(&child->words) + (size_t)n - WORDS_MAX);
	(void)buf_append(&child->words, piece, (size_t)n);
	return true;
}

static void on_words(uv_poll_t *poll, int status, int events)
{
	struct child *child = poll->data;

	(void)status;
	(void)events;
	(void)read_words(child);
}

/* One line: trailing newlines gone, those between become "; ". */
static char *tidy_words(const struct buf *words)
{
	const char *text = (const char *)buf_data(words);
	size_t length = buf_length(words);
	auto_buf struct buf line;

	buf_init(&line, 2 * WORDS_MAX);
	while (length && (text[length - 1] == '\n' || text[length - 1] == '\r'))
		length--;
	for (size_t i = 0; i < length; i++)
		if (text[i] == '\n')
			(void)buf_append_string(&line, "; ");
		else if (text[i] != '\r')
			(void)buf_append(&line, text + i, 1);
	return safe_text(buf_data(&line), buf_length(&line), SAFE_TEXT_LINE);
}

static void on_sigchld(uv_signal_t *signal, int number)
{
	struct child *child = signal->data;
	int status;
	pid_t pid = waitpid(child->pid, &status, WNOHANG);

	(void)number;
	if (pid == 0 || (pid < 0 && errno == EINTR))
		return;
	if (pid < 0)
		status = 0; /* reaped by a stranger: how it ended is lost, but it did */
	child->pid = 0;
	(void)uv_signal_stop(signal);
	for (int i = 0; i < DRAIN_MAX && read_words(child); i++)
		;
	(void)uv_poll_stop(&child->poll);
	auto_free char *words = tidy_words(&child->words);
	child->gone(child->ctx, status, words);
}

static void on_closed(uv_handle_t *handle)
{
	struct child *child = handle->data;

	if (--child->handles > 0)
		return;
	cleanup_close(&child->words_fd);
	buf_done(&child->words);
	free(child);
}

static int start(struct child *child, const struct spawn *spawn, int words_write, struct err *err)
{
	struct spawn_fd fds[CHILD_FDS_MAX];
	struct spawn with_words = *spawn;

	assert(spawn->fd_count < CHILD_FDS_MAX);
	if (spawn->fd_count)
		memcpy(fds, spawn->fds, spawn->fd_count * sizeof(*fds));
	fds[with_words.fd_count++] = (struct spawn_fd){.parent = words_write, .child = 2};
	with_words.fds = fds;
	child->pid = spawn_start(&with_words, err);
	return child->pid < 0 ? -1 : 0;
}

int child_start(uv_loop_t *loop, const struct spawn *spawn, child_gone gone, void *ctx,
		struct child **ret_child, struct err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, "pipe");
	auto_close int words_write = ends[1];
	struct child *child = xcalloc(1, sizeof(*child));
	*child = (struct child){.gone = gone, .ctx = ctx, .words_fd = ends[0]};
	buf_init(&child->words, WORDS_MAX);
	child->signal.data = child;
	child->poll.data = child;
	(void)uv_signal_init(loop, &child->signal);
	child->handles++;
	if (uv_poll_init(loop, &child->poll, child->words_fd) != 0) {
		child_free(child);
		return err_set(err, ERR_SYSTEM, "watch the pipe of %s", spawn->program);
	}
	child->handles++;
	(void)uv_poll_start(&child->poll, UV_READABLE, on_words);
	(void)uv_signal_start(&child->signal, on_sigchld, SIGCHLD);
	if (start(child, spawn, words_write, err) < 0) {
		child->pid = 0;
		child_free(child);
		return -1;
	}
	*ret_child = child;
	return 0;
}

pid_t child_pid(const struct child *child)
{
	return child->pid;
}

void child_signal(struct child *child, int number)
{
	if (child->pid > 0)
		(void)kill(child->pid, number);
}

void child_free(struct child *child)
{
	if (!child)
		return;
	if (child->pid > 0) {
		(void)kill(child->pid, SIGKILL);
		while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
			;
		child->pid = 0;
	}
	if (child->handles > 1)
		uv_close((uv_handle_t *)&child->poll, on_closed);
	uv_close((uv_handle_t *)&child->signal, on_closed);
}
