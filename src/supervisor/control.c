#include "supervisor/control.h"

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "supervisor/door.h"
#include "supervisor/link.h"
#include "supervisor/peer.h"
#include "supervisor/relay.h"

#include <string.h>

#define CLIENTS_MAX 64
#define NO_REQUEST  0
#define NOTES_MAX   4

struct control {
	uv_loop_t *loop;
	struct door *door;
	uv_timer_t limit;
	int (*moved)(void *ctx, const char *path, struct err *err);
	const struct control_host *host;
	void *ctx;
	struct list clients;
	size_t client_count;
	uint32_t sessions;
	bool heard; /* a client asked for the guest, ever */
	bool ready;
	bool resumed;
	char *failure; /* why it will never be ready */
	enum proto_reject failure_code;
	char *progress;
	char *notes[NOTES_MAX];	    /* the last ones, oldest first; NULL: none */
	void (*drained)(void *ctx); /* set once finishing */
};

struct client {
	struct list link;
	struct control *control;
	struct link *io;
	uint32_t ready_request; /* ids of requests without a reply yet, or NO_REQUEST */
	uint32_t stop_request;
	uint32_t suspend_request;
	bool let_in; /* was told that the guest is ready */
	bool opened; /* a channel, and so something may have begun there */
};

static bool waits(const struct client *client)
{
	return client->ready_request != NO_REQUEST || client->stop_request != NO_REQUEST ||
	       client->suspend_request != NO_REQUEST;
}

/* Those who wait for something are told what goes on. */
static void tell(struct client *client, enum proto_what what, const char *text)
{
	if (text && waits(client))
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
		(void)mux_reply(link_mux(client->io), client->ready_request, control->failure_code,
				failure, strlen(failure));
	else
		(void)mux_reply(link_mux(client->io), client->ready_request, PROTO_OK, &resumed,
				sizeof(resumed));
	client->let_in = !failure;
	client->ready_request = NO_REQUEST;
}

static void answer_done(struct client *client, uint32_t request)
{
	if (request != NO_REQUEST)
		(void)mux_reply(link_mux(client->io), request, PROTO_OK, NULL, 0);
}

static void suspend(struct client *client, uint32_t id)
{
	struct control *control = client->control;
	struct err err = ERR_INIT;

	client->suspend_request = id;
	if (control->host->suspend(control->ctx, &err) == 0)
		return;
	client->suspend_request = NO_REQUEST;
	(void)mux_reply(link_mux(client->io), id,
			err.code == ERR_AGAIN ? PROTO_AGAIN : PROTO_FAILED, err.text,
			strlen(err.text));
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
	log_debug("control", "a client asks %u", what);
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
	case PROTO_KEEP:
	case PROTO_LET_GO:
		control->host->keep(control->ctx, what == PROTO_KEEP);
		answer_done(client, id);
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

	log_debug("control", "a client opens a channel of kind %u", kind);
	if (!agent) {
		mux_reject(channel, PROTO_AGAIN, "the guest is not ready for sessions");
		return;
	}
	client->opened = true;
	relay_start(agent, channel, kind, length, &client->control->sessions);
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
	else
		log_debug("control", "a client left");
	link_free(client->io);
	list_remove(&client->link);
	control->client_count--;
	free(client);
	check_drained(control);
}

static struct client *add_client(struct control *control, int fd)
{
	struct client *client = xcalloc(1, sizeof(*client));
	struct mux *mux = mux_new(MUX_GUEST, &client_events, client);
	struct mux_hello hello = {.program = "dxvm " DXVM_VERSION};

	mux_start(mux, &hello, false);
	client->control = control;
	list_append(&control->clients, &client->link);
	control->client_count++;
	client->io = link_new(control->loop, fd, mux, on_down, client);
	log_debug("control", "a client came; %zu are here", control->client_count);
	return client;
}

/* One that was just closed would take us for a supervisor that leaves, and come again. */
static void send_away(struct client *client)
{
	auto_free char *text = xasprintf(
	    "the VM has no room for one more `dxvm`: %d are connected to it; end one of them first",
	    CLIENTS_MAX);

	log_warn("control", "sent a client away: %d are connected", CLIENTS_MAX);
	mux_goaway(link_mux(client->io), PROTO_NO_RESOURCES, text);
	link_finish(client->io);
}

static void on_connected(void *ctx, int connection)
{
	struct control *control = ctx;
	auto_close int fd = connection;
	bool full = control->client_count >= CLIENTS_MAX;

	if (!peer_is_us(fd)) {
		log_warn("control", "refused a connection of another user");
		return;
	}
	struct client *client = add_client(control, take_fd(&fd));
	if (full)
		send_away(client);
}

static int on_moved(void *ctx, const char *path, struct err *err)
{
	struct control *control = ctx;

	return control->moved(control->ctx, path, err);
}

static const struct door_events door_events = {.connected = on_connected, .moved = on_moved};

int control_open(uv_loop_t *loop, const char *dir, const char *name,
		 const struct control_host *host,
		 int (*moved)(void *ctx, const char *path, struct err *err), void *ctx,
		 struct control **ret_control, struct err *err)
{
	struct control *control = xcalloc(1, sizeof(*control));

	*control = (struct control){.loop = loop, .host = host, .moved = moved, .ctx = ctx};
	list_init(&control->clients);
	if (door_open(loop, dir, name, &door_events, control, &control->door, err) < 0) {
		free(control);
		return -1;
	}
	(void)uv_timer_init(loop, &control->limit);
	control->limit.data = control;
	*ret_control = control;
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

static void set_ready(struct control *control, enum proto_reject code, const char *failure)
{
	control->ready = !failure;
	free(control->failure);
	control->failure = failure ? xstrdup(failure) : NULL;
	control->failure_code = code;
	each_client(client, control) answer_ready(client);
}

void control_ready(struct control *control, const char *failure)
{
	set_ready(control, PROTO_FAILED, failure);
}

void control_leaving(struct control *control, const char *text)
{
	set_ready(control, PROTO_AGAIN, text);
}

void control_stopping(struct control *control, const char *text)
{
	size_t length = strlen(text);

	control_leaving(control, text);
	each_client(client, control)
	{
		if (waits(client) || client->opened)
			(void)mux_request(link_mux(client->io), NO_REQUEST, PROTO_PROGRESS, text,
					  length);
	}
}

void control_not_ready(struct control *control)
{
	control->ready = false;
}

void control_resumed(struct control *control, bool resumed)
{
	control->resumed = resumed;
}

static void answer_failed(struct client *client, uint32_t *request, const char *text)
{
	if (*request != NO_REQUEST)
		(void)mux_reply(link_mux(client->io), *request, PROTO_FAILED, text, strlen(text));
	*request = NO_REQUEST;
}

void control_suspend_failed(struct control *control, const char *text)
{
	each_client(client, control) answer_failed(client, &client->suspend_request, text);
}

void control_failed(struct control *control, const char *text)
{
	control_suspend_failed(control, text);
	each_client(client, control) answer_failed(client, &client->stop_request, text);
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

static void say_goaway(struct client *client, enum proto_reject code, const char *text)
{
	if (client->stop_request != NO_REQUEST || client->suspend_request != NO_REQUEST)
		return; /* it gets its answer when all is over */
	mux_goaway(link_mux(client->io), code, text);
	link_finish(client->io);
}

void control_goaway(struct control *control, const char *text)
{
	each_client(client, control) say_goaway(client, PROTO_GONE, text);
}

void control_turn_out(struct control *control, const char *text)
{
	each_client(client, control) if (client->let_in)
	    say_goaway(client, client->opened ? PROTO_GONE : PROTO_AGAIN, text);
}

static void on_limit(uv_timer_t *timer)
{
	struct control *control = timer->data;

	log_warn("control", "left %zu clients that did not read", control->client_count);
	control->drained(control->ctx);
}

void control_finish(struct control *control, uint64_t limit_ms, void (*drained)(void *ctx))
{
	control->drained = drained;
	door_shut(control->door);
	(void)uv_timer_start(&control->limit, on_limit, limit_ms, 0);
	each_client(client, control)
	{
		answer_done(client, client->stop_request);
		answer_done(client, client->suspend_request);
		/* Whoever is about to ask something. */
		say_goaway(client,
			   control->failure_code == PROTO_AGAIN && !client->opened ? PROTO_AGAIN
										   : PROTO_GONE,
			   control->failure ? control->failure : "the VM ended");
		link_finish(client->io);
	}
	check_drained(control);
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle->data);
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
	door_free(take_ptr(&control->door));
	(void)uv_timer_stop(&control->limit);
	free(take_ptr(&control->progress));
	for (size_t i = 0; i < NOTES_MAX; i++)
		free(take_ptr(&control->notes[i]));
	free(take_ptr(&control->failure));
	uv_close((uv_handle_t *)&control->limit, on_timer_closed);
}
