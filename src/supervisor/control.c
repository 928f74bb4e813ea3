#include "supervisor/control.h"

#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "supervisor/link.h"
#include "supervisor/peer.h"
#include "supervisor/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define CLIENTS_MAX 64
#define NO_REQUEST  0
#define NOTES_MAX   4

struct control {
	uv_poll_t poll;
	uv_timer_t limit;
	int fd;
	char *path;
	const struct control_host *host;
	void *ctx;
	struct list clients;
	size_t client_count;
	uint32_t sessions;
	bool heard; /* a client asked for the guest, ever */
	bool ready;
	bool resumed;
	char *failure; /* why it will never be ready */
	char *progress;
	char *notes[NOTES_MAX];	    /* the last ones, oldest first; NULL: none */
	void (*drained)(void *ctx); /* set once finishing */
	int open_handles;
};

struct client {
	struct list link;
	struct control *control;
	struct link *io;
	uint32_t ready_request; /* ids of requests without a reply yet, or NO_REQUEST */
	uint32_t stop_request;
	uint32_t suspend_request;
	bool let_in; /* was told that the guest is ready */
};

static void tell(struct client *client, enum proto_what what, const char *text)
{
	if (text && client->ready_request != NO_REQUEST)
		(void)mux_request(link_mux(client->io), NO_REQUEST, what, text, strlen(text));
}

static void answer_ready(struct client *client)
{
	const struct control *control = client->control;
	const char *failure = control->failure;
	const uint8_t resumed = control->resumed;

	if (client->ready_request == NO_REQUEST || (!control->ready && !failure))
		return;
	if (failure)
		(void)mux_reply(link_mux(client->io), client->ready_request, PROTO_FAILED, failure,
				strlen(failure));
	else
		(void)mux_reply(link_mux(client->io), client->ready_request, PROTO_OK, &resumed,
				sizeof(resumed));
	client->let_in = !failure;
	client->ready_request = NO_REQUEST;
}

static void suspend(struct client *client, uint32_t id)
{
	struct control *control = client->control;
	struct err err = ERR_INIT;

	client->suspend_request = id;
	if (control->host->suspend(control->ctx, &err) == 0)
		return;
	client->suspend_request = NO_REQUEST;
	(void)mux_reply(link_mux(client->io), id, PROTO_FAILED, err.text, strlen(err.text));
}

static void answer_status(struct client *client, uint32_t id)
{
	struct message_status status = {0};
	auto_buf struct buf payload;

	buf_init(&payload, PROTO_MESSAGE_MAX);
	client->control->host->status(client->control->ctx, &status);
	(void)message_status_encode(&status, &payload);
	(void)mux_reply(link_mux(client->io), id, PROTO_OK, buf_data(&payload),
			buf_length(&payload));
	message_status_done(&status);
}

static void on_request(void *ctx, uint32_t id, uint16_t what, const uint8_t *payload, size_t length)
{
	struct client *client = ctx;
	struct control *control = client->control;
	static const char unknown[] =
	    "this supervisor does not know that request; it may be of another "
	    "version: stop the VM and start it again";

	(void)payload;
	(void)length;
	switch (what) {
	case PROTO_WAIT_READY:
		client->ready_request = id;
		control->heard = true;
		control->host->wanted(control->ctx);
		answer_ready(client);
		for (size_t i = 0; i < NOTES_MAX; i++)
			tell(client, PROTO_NOTE, control->notes[i]);
		tell(client, PROTO_PROGRESS, control->progress);
		break;
	case PROTO_STATUS:
		answer_status(client, id);
		break;
	case PROTO_STOP:
		client->stop_request = id;
		control->host->stop(control->ctx);
		break;
	case PROTO_SUSPEND:
		suspend(client, id);
		break;
	default:
		if (id != NO_REQUEST)
			(void)mux_reply(link_mux(client->io), id, PROTO_UNKNOWN, unknown,
					strlen(unknown));
	}
}

static void on_open(void *ctx, struct mux_channel *channel, uint16_t kind, uint32_t length)
{
	struct client *client = ctx;
	struct mux *agent = client->control->host->agent(client->control->ctx);

	if (agent)
		relay_start(agent, channel, kind, length, &client->control->sessions);
	else
		mux_reject(channel, PROTO_GONE, "the guest is not ready for sessions");
}

static const struct mux_events client_events = {
    .open = on_open,
    .request = on_request,
};

static void check_drained(struct control *control)
{
	if (control->drained && list_empty(&control->clients))
		control->drained(control->ctx);
}

static void on_down(void *ctx, enum link_end end, const char *why)
{
	struct client *client = ctx;
	struct control *control = client->control;

	if (end == LINK_BROKEN)
		log_warn("control", "a client left: %s", why);
	link_free(client->io);
	list_remove(&client->link);
	control->client_count--;
	free(client);
	check_drained(control);
}

static void add_client(struct control *control, int fd)
{
	struct client *client = xcalloc(1, sizeof(*client));
	struct mux *mux = mux_new(MUX_GUEST, &client_events, client);
	struct mux_hello hello = {.program = "dxvm " DXVM_VERSION};

	mux_start(mux, &hello, false);
	client->control = control;
	list_append(&control->clients, &client->link);
	control->client_count++;
	client->io = link_new(control->poll.loop, fd, mux, on_down, client);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct control *control = poll->data;
	auto_close int fd = -1;

	(void)events;
	if (status < 0)
		return;
	fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (!peer_is_us(fd))
		log_warn("control", "refused a connection of another user");
	else if (control->client_count >= CLIENTS_MAX)
		log_warn("control", "refused a connection: %d clients are connected", CLIENTS_MAX);
	else
		add_client(control, take_fd(&fd));
}

/* The directory may be in /tmp, where others can put things first. */
static int make_dir(const char *dir, struct err *err)
{
	struct stat st;

	if (file_mkdirs(dir, 0700, err) < 0)
		return -1;
	if (lstat(dir, &st) < 0)
		return err_sys(err, "%s", dir);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return err_set(
		    err, ERR_INVALID,
		    "%s is not a directory of yours alone (mode 0700); remove it, or set "
		    "XDG_RUNTIME_DIR",
		    dir);
	return 0;
}

static int listen_at(const char *path, int *ret_fd, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, ERR_INVALID,
			       "%s is too long for a socket; set XDG_RUNTIME_DIR to "
			       "something shorter",
			       path);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	/* We hold the lock of the data directory: whatever is there is stale. */
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(err, "remove stale socket %s", path);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, CLIENTS_MAX) < 0)
		return err_sys(err, "listen on %s", path);
	*ret_fd = take_fd(&fd);
	return 0;
}

int control_open(uv_loop_t *loop, const char *dir, const char *name,
		 const struct control_host *host, void *ctx, struct control **ret_control,
		 char **ret_path, struct err *err)
{
	auto_free char *path = xasprintf("%s/%s.sock", dir, name);
	struct control *control;
	int fd;

	if (make_dir(dir, err) < 0 || listen_at(path, &fd, err) < 0)
		return -1;
	control = xcalloc(1, sizeof(*control));
	*control = (struct control){
	    .fd = fd, .path = xstrdup(path), .host = host, .ctx = ctx, .open_handles = 2};
	list_init(&control->clients);
	(void)uv_poll_init(loop, &control->poll, fd);
	(void)uv_timer_init(loop, &control->limit);
	control->poll.data = control;
	control->limit.data = control;
	(void)uv_poll_start(&control->poll, UV_READABLE, on_connection);
	*ret_control = control;
	*ret_path = take_ptr(&path);
	return 0;
}

#define each_client(client, control)                                                               \
	list_each(link_, tmp_, &(control)->clients)                                                \
		for (struct client *client = list_entry(link_, struct client, link); client;       \
		     client = NULL)

void control_progress(struct control *control, const char *text)
{
	free(control->progress);
	control->progress = xstrdup(text);
	each_client(client, control) tell(client, PROTO_PROGRESS, text);
}

void control_note(struct control *control, const char *text)
{
	size_t count = 0;

	while (count < NOTES_MAX && control->notes[count])
		count++;
	if (count == NOTES_MAX) {
		free(control->notes[0]);
		memmove(control->notes, control->notes + 1, --count * sizeof(*control->notes));
	}
	control->notes[count] = xstrdup(text);
	each_client(client, control) tell(client, PROTO_NOTE, text);
}

void control_ready(struct control *control, const char *failure)
{
	control->ready = !failure;
	free(control->failure);
	control->failure = failure ? xstrdup(failure) : NULL;
	each_client(client, control) answer_ready(client);
}

void control_not_ready(struct control *control)
{
	control->ready = false;
}

void control_resumed(struct control *control, bool resumed)
{
	control->resumed = resumed;
}

void control_suspend_failed(struct control *control, const char *text)
{
	each_client(client, control)
	{
		if (client->suspend_request == NO_REQUEST)
			continue;
		(void)mux_reply(link_mux(client->io), client->suspend_request, PROTO_FAILED, text,
				strlen(text));
		client->suspend_request = NO_REQUEST;
	}
}

size_t control_client_count(const struct control *control)
{
	return control->client_count;
}

uint32_t control_session_count(const struct control *control)
{
	return control->sessions;
}

bool control_was_heard(const struct control *control)
{
	return control->heard;
}

static void say_goaway(struct client *client, const char *text)
{
	if (client->stop_request != NO_REQUEST || client->suspend_request != NO_REQUEST)
		return; /* it gets its answer when all is over */
	mux_goaway(link_mux(client->io), PROTO_GONE, text);
	link_finish(client->io);
}

void control_goaway(struct control *control, const char *text)
{
	each_client(client, control) say_goaway(client, text);
}

void control_turn_out(struct control *control, const char *text)
{
	each_client(client, control) if (client->let_in) say_goaway(client, text);
}

static void on_limit(uv_timer_t *timer)
{
	struct control *control = timer->data;

	log_warn("control", "left %zu clients that did not read", control->client_count);
	control->drained(control->ctx);
}

static void answer_end(struct client *client, uint32_t request)
{
	if (request != NO_REQUEST)
		(void)mux_reply(link_mux(client->io), request, PROTO_OK, NULL, 0);
}

void control_finish(struct control *control, uint64_t limit_ms, void (*drained)(void *ctx))
{
	control->drained = drained;
	(void)uv_poll_stop(&control->poll);
	(void)uv_timer_start(&control->limit, on_limit, limit_ms, 0);
	each_client(client, control)
	{
		answer_end(client, client->stop_request);
		answer_end(client, client->suspend_request);
		link_finish(client->io);
	}
	check_drained(control);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct control *control = handle->data;

	if (--control->open_handles == 0)
		free(control);
}

void control_free(struct control *control)
{
	if (!control)
		return;
	each_client(client, control)
	{
		link_free(client->io);
		list_remove(&client->link);
		free(client);
	}
	(void)uv_poll_stop(&control->poll);
	(void)uv_timer_stop(&control->limit);
	(void)close(control->fd);
	(void)unlink(control->path);
	free(take_ptr(&control->path));
	free(take_ptr(&control->progress));
	for (size_t i = 0; i < NOTES_MAX; i++)
		free(take_ptr(&control->notes[i]));
	free(take_ptr(&control->failure));
	uv_close((uv_handle_t *)&control->poll, on_handle_closed);
	uv_close((uv_handle_t *)&control->limit, on_handle_closed);
}
