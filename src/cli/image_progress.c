#include "cli/image_progress.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/signals.h"
#include "base/spawn.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define LINE_MAX_BYTES 4096

/* Ctrl-C asks the child to give up, and we wait for it to leave nothing behind. The handler must
 * find the child, hence static. */
static volatile sig_atomic_t child_pid;
static volatile sig_atomic_t interrupted;

static void on_signal(int signum)
{
	(void)signum;
	interrupted = 1;
	(void)kill((pid_t)child_pid, SIGTERM);
}

static const int watched[] = {SIGINT, SIGTERM, SIGHUP};

struct follow {
	struct progress *progress;
	bool done;
	char *error;
};

static const char *after(const char *line, const char *word)
{
	size_t n = strlen(word);

	return strncmp(line, word, n) == 0 && line[n] == ' ' ? line + n + 1 : NULL;
}

static bool take_numbers(const char *text, uint64_t *ret_done, uint64_t *ret_total)
{
	return number_take(&text, 10, UINT64_MAX, ret_done) && number_skip(&text, " ") &&
	       number_take(&text, 10, UINT64_MAX, ret_total);
}

static void take_line(struct follow *follow, const char *line)
{
	const char *rest;
	uint64_t part;
	uint64_t total;

	if ((rest = after(line, "stage"))) {
		progress_stage(follow->progress, rest);
	} else if ((rest = after(line, "note"))) {
		progress_note(follow->progress, rest);
	} else if ((rest = after(line, "error"))) {
		free(follow->error);
		follow->error = xstrdup(rest);
	} else if ((rest = after(line, "progress"))) {
		if (take_numbers(rest, &part, &total))
			progress_number(follow->progress, part, total);
	} else if ((rest = after(line, "bytes"))) {
		if (take_numbers(rest, &part, &total))
			progress_bytes(follow->progress, part, total);
	} else if (strcmp(line, "done") == 0) {
		follow->done = true;
	}
}

static void take_lines(struct follow *follow, struct buf *input)
{
	const char *newline;

	while ((newline = memchr(buf_data(input), '\n', buf_length(input)))) {
		size_t length = (size_t)(newline - (const char *)buf_data(input));
		auto_free char *line = xstrndup((const char *)buf_data(input), length);

		take_line(follow, line);
		buf_consume(input, length + 1);
	}
	if (buf_room(input) == 0)
		buf_clear(input); /* no line of ours is that long */
}

static void read_all(struct follow *follow, int fd)
{
	auto_buf struct buf input;

	buf_init(&input, LINE_MAX_BYTES);
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int ready = poll(&p, 1, 1000);
		char bytes[LINE_MAX_BYTES];
		ssize_t n;

		if (ready == 0)
			progress_tick(follow->progress);
		if (ready <= 0)
			continue;
		n = read(fd, bytes, buf_room(&input));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		(void)buf_append(&input, bytes, (size_t)n);
		take_lines(follow, &input);
	}
}

int image_progress_follow(int fd, pid_t pid, struct progress *progress, struct err *err)
{
	struct follow follow = {.progress = progress};
	const struct sigaction action = {.sa_handler = on_signal};
	struct sigaction before[ARRAY_SIZE(watched)];
	int wait_status = 0;

	child_pid = (sig_atomic_t)pid;
	signals_handle(watched, ARRAY_SIZE(watched), &action, before);
	read_all(&follow, fd);
	while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR)
		;
	signals_restore(watched, ARRAY_SIZE(watched), before);
	auto_free char *error = follow.error;
	if (interrupted && !follow.done)
		return err_set(err, ERR_CANCELLED, "%s",
			       error && after(error, "interrupted;")
				   ? error
				   : "interrupted; nothing is left behind");
	if (error)
		return err_set(err, ERR_SYSTEM, "%s", error);
	if (follow.done && WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0)
		return 0;
	auto_free char *how = spawn_describe(wait_status);
	return err_set(err, ERR_SYSTEM, "dxvm-image %s", how);
}
