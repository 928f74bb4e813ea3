/*
 * Theory. uv_poll tells when the socket is readable or writable. A uv_prepare handle runs once per
 * turn of the loop, after all events and before it sleeps: that is where output is written, so that
 * an event on one link which puts bytes into another (the relay) needs to tell nobody. Writable
 * interest is on only while the kernel took less than there was.
 */
#include "supervisor/link.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define READ_CHUNK 131072

struct link {
	uv_poll_t poll;
	uv_prepare_t flush;
	int open_handles;
	int fd;
	int interest; /* UV_READABLE, UV_WRITABLE as asked of poll */
	bool finishing;
	bool is_down;
	enum link_end end;
	struct mux *mux;
	link_down *down;
	void *ctx;
	char why[sizeof(((struct err *)0)->text)];
};

static void set_interest(struct link *link, int interest);

/* Remembers why; the report follows from the next turn, outside any mux event. */
static void fail(struct link *link, enum link_end end, const char *why)
{
	if (link->is_down)
		return;
	link->is_down = true;
	link->end = end;
	(void)snprintf(link->why, sizeof(link->why), "%s", why);
	set_interest(link, 0);
}

/* Writes what the kernel takes now. */
static void write_some(struct link *link)
{
	const uint8_t *bytes;
	size_t length;

	while (!link->is_down && (length = mux_output(link->mux, &bytes)) > 0) {
		ssize_t n = send(link->fd, bytes, length, MSG_NOSIGNAL);

		if (n >= 0) {
			mux_sent(link->mux, (size_t)n);
		} else if (errno == EAGAIN) {
			break;
		} else if (errno != EINTR) {
			fail(link, LINK_CLOSED, strerror(errno));
		}
	}
}

/* Whether there may be more. */
static bool read_some(struct link *link)
{
	static uint8_t bytes[READ_CHUNK];
	ssize_t n = recv(link->fd, bytes, sizeof(bytes), 0);
	struct err err = ERR_INIT;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	if (n < 0) {
		fail(link, LINK_CLOSED, strerror(errno));
	} else if (n == 0) {
		fail(link, LINK_CLOSED, "the other side closed the connection");
	} else if (mux_feed(link->mux, bytes, (size_t)n, &err) < 0) {
		write_some(link); /* the GOAWAY that says why */
		fail(link, LINK_BROKEN, err.text);
	}
	return !link->is_down;
}

/* libuv has stopped, and says "bad file descriptor" whatever it is. The socket has the reason,
 * behind what came before. */
static void read_to_the_end(struct link *link)
{
	bool more = !link->finishing;

	link->interest = 0;
	while (more)
		more = read_some(link);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct link *link = poll->data;

	if (status < 0)
		read_to_the_end(link);
	else if (events & UV_READABLE)
		(void)read_some(link);
	/* Writing happens in on_flush, which always follows. */
}

static void set_interest(struct link *link, int interest)
{
	if (interest == link->interest)
		return;
	link->interest = interest;
	if (interest)
		(void)uv_poll_start(&link->poll, interest, on_poll);
	else
		(void)uv_poll_stop(&link->poll);
}

static void on_flush(uv_prepare_t *flush)
{
	struct link *link = flush->data;

	write_some(link);
	if (!link->is_down && link->finishing && !mux_has_output(link->mux))
		fail(link, LINK_DONE, "all is said");
	if (link->is_down) {
		(void)uv_prepare_stop(&link->flush);
		link->down(link->ctx, link->end, link->why); /* frees the link */
		return;
	}
	set_interest(link, (link->finishing ? 0 : UV_READABLE) |
			       (mux_has_output(link->mux) ? UV_WRITABLE : 0));
}

struct link *link_new(uv_loop_t *loop, int fd, struct mux *mux, link_down *down, void *ctx)
{
	struct link *link = xcalloc(1, sizeof(*link));
	struct err ignored = ERR_INIT;

	*link = (struct link){.fd = fd, .mux = mux, .down = down, .ctx = ctx, .open_handles = 2};
	(void)file_set_nonblock(fd, true, &ignored);
	(void)uv_poll_init(loop, &link->poll, fd);
	(void)uv_prepare_init(loop, &link->flush);
	link->poll.data = link;
	link->flush.data = link;
	(void)uv_prepare_start(&link->flush, on_flush);
	set_interest(link, UV_READABLE);
	return link;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct link *link = handle->data;

	if (--link->open_handles == 0)
		free(link);
}

void link_free(struct link *link)
{
	if (!link)
		return;
	mux_free(take_ptr(&link->mux));
	(void)uv_poll_stop(&link->poll);
	(void)close(link->fd);
	uv_close((uv_handle_t *)&link->poll, on_handle_closed);
	uv_close((uv_handle_t *)&link->flush, on_handle_closed);
}

void link_finish(struct link *link)
{
	link->finishing = true;
}

int link_dup(const struct link *link)
{
	return fcntl(link->fd, F_DUPFD_CLOEXEC, 0);
}

struct mux *link_mux(const struct link *link)
{
	return link->mux;
}
