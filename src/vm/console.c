/*
 * The file is kept between half its ceiling and the ceiling once it was full: at the ceiling the
 * newer half moves to the front. That costs two bytes written for each, a price only a guest pays
 * that prints megabytes.
 *
 * A panicked guest restarts itself and, with -no-reboot, that is an ordinary end to QEMU. The line
 * of the panic is what people need to hear, so lines are watched for it as they pass.
 */
#include "vm/console.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/safe_text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define READ_SIZE ((size_t)16384)
#define DRAIN_MAX 64
#define LINE_MAX_ ((size_t)200)

static const char panic_mark[] = "Kernel panic";

struct console {
	int port_fd;
	int file_fd;
	off_t written; /* size of the file */
	char line[LINE_MAX_ + 1];
	size_t line_length;
	char *panic;
	off_t max;						    /* of the file */
	void (*heard)(void *ctx, const void *bytes, size_t length); /* NULL: nobody listens */
	void *ctx;
	uv_poll_t poll;
};

static void halve(struct console *console)
{
	off_t half = console->max / 2;
	auto_free char *tail = xmalloc((size_t)half);
	ssize_t n = pread(console->file_fd, tail, (size_t)half, console->written - half);

	if (ftruncate(console->file_fd, 0) < 0)
		return;
	console->written = 0;
	if (n > 0) {
		n = pwrite(console->file_fd, tail, (size_t)n, 0);
		if (n > 0)
			console->written = n;
	}
	(void)lseek(console->file_fd, console->written, SEEK_SET);
}

static void store(struct console *console, const char *data, size_t length)
{
	ssize_t n;

	if (console->file_fd < 0)
		return;
	if (console->written + (off_t)length > console->max)
		halve(console);
	if (console->written + (off_t)length > console->max)
		return;
	n = write(console->file_fd, data, length);
	if (n > 0)
		console->written += n;
}

static void end_line(struct console *console)
{
	console->line[console->line_length] = '\0';
	if (!console->panic) {
		const char *mark = strstr(console->line, panic_mark);

		if (mark)
			console->panic = safe_text(mark, strlen(mark), SAFE_TEXT_LINE);
	}
	console->line_length = 0;
}

static void watch(struct console *console, const char *data, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (data[i] == '\n' || data[i] == '\r')
			end_line(console);
		else if (console->line_length < LINE_MAX_ && data[i] != '\0')
			console->line[console->line_length++] = data[i];
}

static bool read_some(struct console *console)
{
	char data[READ_SIZE];
	ssize_t n = read(console->port_fd, data, sizeof(data));

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			(void)uv_poll_stop(&console->poll);
		return false;
	}
	store(console, data, (size_t)n);
	watch(console, data, (size_t)n);
	if (console->heard)
		console->heard(console->ctx, data, (size_t)n);
	return true;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	(void)read_some(poll->data);
}

static void on_closed(uv_handle_t *handle)
{
	struct console *console = handle->data;

	cleanup_close(&console->port_fd);
	cleanup_close(&console->file_fd);
	free(console->panic);
	free(console);
}

int console_start(uv_loop_t *loop, int port_fd, int file_fd, struct console **ret_console,
		  struct err *err)
{
	auto_close int port = port_fd;
	auto_close int file = file_fd >= 0 ? fcntl(file_fd, F_DUPFD_CLOEXEC, 3) : -1;
	struct stat st = {0};

	if (file_fd >= 0 && (file < 0 || fstat(file, &st) < 0))
		return err_sys(err, "console file");
	struct console *console = xcalloc(1, sizeof(*console));
	if (uv_poll_init(loop, &console->poll, port) != 0) {
		free(console);
		return err_set(err, ERR_SYSTEM, "watch the guest's console");
	}
	console->poll.data = console;
	console->port_fd = take_fd(&port);
	console->file_fd = take_fd(&file);
	console->written = st.st_size;
	console->max = CONSOLE_MAX;
	(void)uv_poll_start(&console->poll, UV_READABLE, on_readable);
	*ret_console = console;
	return 0;
}

void console_listen(struct console *console,
		    void (*heard)(void *ctx, const void *bytes, size_t length), void *ctx)
{
	console->heard = heard;
	console->ctx = ctx;
	console->max = CONSOLE_MAX_LISTENED;
}

int console_type(struct console *console, const char *text, struct err *err)
{
	size_t length = strlen(text);
	ssize_t n = send(console->port_fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n == (ssize_t)length)
		return 0;
	return n < 0 && errno != EAGAIN
		   ? err_sys(err, "type on the guest's console")
		   : err_set(err, ERR_BUSY, "the guest's console takes no input");
}

void console_drain(struct console *console)
{
	for (int i = 0; i < DRAIN_MAX && read_some(console); i++)
		;
}

const char *console_panic(const struct console *console)
{
	return console->panic ? console->panic : "";
}

void console_free(struct console *console)
{
	if (console)
		uv_close((uv_handle_t *)&console->poll, on_closed);
}
