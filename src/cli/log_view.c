#include "cli/log_view.h"

#include "base/buf.h"
#include "base/safe_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES 65536
#define LOOK_MS	   200

struct view {
	int fd;
	off_t at;
	struct buf pending; /* the beginning of a line whose end is not written yet */
};

static int print(struct view *view, size_t length, struct err *err)
{
	auto_free char *safe = safe_text(buf_data(&view->pending), length, SAFE_TEXT_NEWLINES);

	buf_consume(&view->pending, length);
	(void)fputs(safe, stdout);
	return fflush(stdout) == 0 ? 0 : err_sys(err, "write");
}

/* Whole lines first, so that no character is cut; the rest when nothing more comes. */
static int print_lines(struct view *view, struct err *err)
{
	const uint8_t *bytes = buf_data(&view->pending);
	size_t length = buf_length(&view->pending);

	while (length > 0 && bytes[length - 1] != '\n')
		length--;
	if (length > 0)
		return print(view, length, err);
	if (buf_room(&view->pending) < READ_BYTES)
		return print(view, buf_length(&view->pending), err);
	return 0;
}

/* All that is there now. */
static int catch_up(struct view *view, struct err *err)
{
	char bytes[READ_BYTES];
	struct stat st;
	ssize_t n;

	if (fstat(view->fd, &st) < 0)
		return err_sys(err, "look at the file");
	if (st.st_size < view->at)
		view->at = st.st_size;
	while ((n = pread(view->fd, bytes, sizeof(bytes), view->at)) > 0) {
		view->at += n;
		(void)buf_append(&view->pending, bytes, (size_t)n);
		if (print_lines(view, err) < 0)
			return -1;
	}
	if (n < 0)
		return err_sys(err, "read");
	return buf_length(&view->pending) > 0 ? print(view, buf_length(&view->pending), err) : 0;
}

static int show(struct view *view, bool follow, struct err *err)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
	int status;

	while ((status = catch_up(view, err)) == 0 && follow)
		(void)nanosleep(&pause, NULL);
	return status;
}

int log_view(int data_dir, const char *name, bool follow, struct err *err)
{
	struct view view = {.at = 0};
	struct stat st;
	int status;

	view.fd = openat(data_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (view.fd < 0 && errno == ENOENT)
		return err_set(err, ERR_NOT_FOUND, "the VM was never started");
	if (view.fd < 0)
		return err_sys(err, "%s", name);
	buf_init(&view.pending, (size_t)2 * READ_BYTES);
	if (fstat(view.fd, &st) < 0 || !S_ISREG(st.st_mode))
		status = err_set(err, ERR_INVALID, "%s is no regular file", name);
	else
		status = show(&view, follow, err);
	buf_done(&view.pending);
	(void)close(view.fd);
	return status;
}
