/*
 * Theory of operation. A virtio-serial port has no connect event: while the host's end is closed
 * reads give 0 and poll says so at once, for ever. So after a 0 the port is closed, all channels
 * are lost, and it is tried again after a delay that grows to a second. What the other side then
 * sees may start inside a frame, therefore with a resync run.
 *
 * A suspend is the exception. Nothing tells that the host's end was replaced (the port's two events
 * arrive back to back, and no read sees either), so both sides first come to rest between two
 * frames. The port stays open, and whatever is heard next is the beginning of a new link.
 *
 * Output is written once a turn, after all events, so that small frames travel together; while the
 * other end takes nothing it waits in the mux, which is bounded.
 */
#include "agent/link.h"

#include "agent/hello.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define PORTS		"/sys/class/virtio-ports"
#define NAME_MAX_LENGTH 128
#define READ_BYTES	131072 /* most a turn */
#define PORT_PIECE	4096   /* most that a port hands over a read; after less there is no more */
#define RETRY_FIRST_MS	10
#define RETRY_LAST_MS	1000

struct link {
	struct loop *loop;
	struct loop_watch watch;
	struct loop_timer retry;
	uint64_t retry_ms;
	bool is_port;
	bool resync;
	bool failed; /* the peer broke the protocol: flush, then end */
	bool resting;
	uint32_t generation;
	struct mux *mux;
	struct mux_hello hello;
	const struct mux_events *events;
	void (*ended)(void *ctx, const char *why);
	void *ctx;
	uint8_t bytes[READ_BYTES];
};

static bool port_is_named(const char *port, const char *name)
{
	auto_free char *path = xasprintf(PORTS "/%s/name", port);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[NAME_MAX_LENGTH];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return false;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return strcmp(text, name) == 0;
}

int link_open_port(const char *name, int *ret_fd, struct err *err)
{
	DIR *ports = opendir(PORTS);
	const struct dirent *entry;
	auto_free char *path = NULL;
	int fd;

	while (ports && !path && (entry = readdir(ports)))
		if (entry->d_name[0] != '.' && port_is_named(entry->d_name, name))
			path = xasprintf("/dev/%s", entry->d_name);
	if (ports)
		(void)closedir(ports);
	if (!path)
		return err_set(err, ERR_NOT_FOUND, "there is no virtio port %s", name);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return err_sys(err, "open %s", path);
	*ret_fd = fd;
	return 0;
}

static void start_mux(struct link *link)
{
	link->resting = false;
	link->mux = mux_new(MUX_GUEST, link->events, link->ctx);
	hello_renew(&link->hello);
	mux_start(link->mux, &link->hello, link->resync);
	link->resync = true; /* from the second opening on, in any case */
	link->failed = false;
	link->generation++;
}

static void open_mux(struct link *link, int fd)
{
	link->watch.fd = fd;
	link->watch.events = POLLIN;
	loop_watch_add(link->loop, &link->watch);
	start_mux(link);
}

static void close_mux(struct link *link)
{
	loop_watch_remove(&link->watch);
	close_fd(&link->watch.fd);
	mux_free(take_ptr(&link->mux));
}

static void end(struct link *link, const char *why)
{
	close_mux(link);
	if (!link->is_port) {
		link->ended(link->ctx, why);
		return;
	}
	log_warn("link", "%s; waiting for the host", why);
	loop_timer_start(link->loop, &link->retry, link->retry_ms);
}

static void on_retry(struct loop_timer *timer)
{
	struct link *link = list_entry(timer, struct link, retry);
	struct err err = ERR_INIT;
	int fd;

	if (link->resting) {
		link->watch.events = POLLIN;
		return;
	}
	link->retry_ms = 2 * link->retry_ms < RETRY_LAST_MS ? 2 * link->retry_ms : RETRY_LAST_MS;
	if (link_open_port(LINK_PORT_NAME, &fd, &err) == 0)
		open_mux(link, fd);
	else
		loop_timer_start(link->loop, timer, link->retry_ms);
}

/* A read gave n, and no byte. */
static void on_nothing(struct link *link, ssize_t n)
{
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == 0 && link->resting && link->is_port) {
		link->watch.events = 0;
		loop_timer_start(link->loop, &link->retry, RETRY_FIRST_MS);
		return;
	}
	end(link, n == 0 ? "the host closed the link" : strerror(errno));
}

static void on_ready(struct loop_watch *watch, short revents)
{
	struct link *link = list_entry(watch, struct link, watch);
	struct err err = ERR_INIT;
	size_t length = 0;
	ssize_t n;

	(void)revents;
	/* Together, so that most frames lie there whole. */
	do {
		n = read(watch->fd, link->bytes + length, sizeof(link->bytes) - length);
		length += n > 0 ? (size_t)n : 0;
	} while (n >= PORT_PIECE && length < sizeof(link->bytes));
	if (length == 0) {
		on_nothing(link, n);
		return;
	}
	link->retry_ms = RETRY_FIRST_MS;
	if (link->resting) {
		link->resync = false;
		start_mux(link);
	}
	if (mux_feed(link->mux, link->bytes, length, &err) < 0) {
		log_error("link", "%s", err.text);
		link->failed = true;
	}
}

void link_flush(struct link *link)
{
	const uint8_t *bytes;
	size_t length;

	if (!link->mux)
		return;
	while ((length = mux_output(link->mux, &bytes)) > 0) {
		ssize_t n = write(link->watch.fd, bytes, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			end(link, strerror(errno));
			return;
		}
		if (n <= 0)
			break;
		mux_sent(link->mux, (size_t)n);
	}
	if (link->failed && (length == 0 || link->is_port)) {
		end(link, "the host broke the protocol");
		return;
	}
	link->watch.events = (short)((link->failed ? 0 : POLLIN) | (length > 0 ? POLLOUT : 0));
}

void link_rest(struct link *link)
{
	if (!link->mux)
		return;
	link->resting = true;
	link->watch.events = POLLIN;
	mux_free(take_ptr(&link->mux));
}

bool link_is_flushed(const struct link *link)
{
	return !link->mux || !mux_has_output(link->mux);
}

struct mux *link_mux(const struct link *link)
{
	return link->mux;
}

uint32_t link_generation(const struct link *link)
{
	return link->generation;
}

struct link *link_new(struct loop *loop, int fd, bool resync, const struct mux_hello *hello,
		      const struct mux_events *events, void (*ended)(void *ctx, const char *why),
		      void *ctx)
{
	struct link *link = xcalloc(1, sizeof(*link));
	struct err ignored = ERR_INIT;

	link->loop = loop;
	link->is_port = fd < 0;
	link->resync = resync;
	link->retry_ms = RETRY_FIRST_MS;
	link->hello = *hello;
	link->events = events;
	link->ended = ended;
	link->ctx = ctx;
	loop_watch_init(&link->watch);
	link->watch.ready = on_ready;
	loop_timer_init(&link->retry);
	link->retry.fire = on_retry;
	if (fd < 0) {
		on_retry(&link->retry);
		return link;
	}
	(void)file_set_nonblock(fd, true, &ignored);
	(void)file_set_inherit(fd, false, &ignored);
	open_mux(link, fd);
	return link;
}

void link_free(struct link *link)
{
	if (!link)
		return;
	close_mux(link);
	loop_timer_stop(&link->retry);
	free(link);
}
