#include "cli/client.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/spawn.h"
#include "cli/progress.h"
#include "project/data_dir.h"
#include "project/live.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define EXPLAIN_LIMIT_MS 4000
#define HELLO_LIMIT_MS	 10000 /* nothing in a supervisor takes that long but being stopped */
#define READ_CHUNK	 131072
#define LOOK_AGAIN_MS	 20
#define LOOK_LIMIT_MS	 30000 /* a supervisor that leaves waits for its guest to power off */

struct client {
	int fd;
	pid_t pid;
	bool
	    deaf; /* the other side reads no more: what it said before it left is still to be read */
	struct mux *mux;
	struct progress *progress; /* where PROGRESS and NOTE go; NULL: nowhere */
	char *stage;		   /* the last PROGRESS that went nowhere */
	uint32_t last_request;
	bool replied;
	uint32_t reply_code;
	struct buf reply;
	char *goaway;
	uint32_t goaway_code;
};

static void on_request(void *ctx, uint32_t id, uint16_t what, const uint8_t *payload, size_t length)
{
	struct client *client = ctx;

	(void)id;
	if (length > PROTO_TEXT_MAX)
		return;
	auto_free char *text = xstrndup((const char *)payload, length);
	if (what == PROTO_PROGRESS && client->progress) {
		progress_stage(client->progress, text);
	} else if (what == PROTO_PROGRESS) {
		free(client->stage);
		client->stage = take_ptr(&text);
	} else if (what == PROTO_NOTE && client->progress) {
		progress_note(client->progress, text);
	}
}

static void on_reply(void *ctx, uint32_t id, uint32_t code, const uint8_t *payload, size_t length)
{
	struct client *client = ctx;

	if (id != client->last_request)
		return;
	client->replied = true;
	client->reply_code = code;
	buf_clear(&client->reply);
	(void)buf_append(&client->reply, payload, length);
}

static void on_goaway(void *ctx, uint32_t code, const char *text)
{
	struct client *client = ctx;

	free(client->goaway);
	client->goaway = xstrdup(text);
	client->goaway_code = code;
}

static const struct mux_events client_events = {
    .request = on_request,
    .reply = on_reply,
    .goaway = on_goaway,
};

static struct client *client_new(int fd, pid_t pid)
{
	struct client *client = xcalloc(1, sizeof(*client));
	struct mux_hello hello = {.program = "dxvm " DXVM_VERSION};

	client->fd = fd;
	client->pid = pid;
	client->mux = mux_new(MUX_HOST, &client_events, client);
	buf_init(&client->reply, PROTO_MESSAGE_MAX);
	mux_start(client->mux, &hello, false);
	return client;
}

void client_close(struct client *client)
{
	if (!client)
		return;
	mux_free(client->mux);
	(void)close(client->fd);
	buf_done(&client->reply);
	free(client->goaway);
	free(client->stage);
	free(client);
}

void client_report_to(struct client *client, struct progress *progress)
{
	client->progress = progress;
}

const char *client_stage(const struct client *client)
{
	return client->stage;
}

bool client_was_sent_away(const struct client *client)
{
	return client->goaway != NULL;
}

bool client_was_answered(const struct client *client)
{
	return client->replied;
}

pid_t client_pid(const struct client *client)
{
	return client->pid;
}

struct mux *client_mux(struct client *client)
{
	return client->mux;
}

int client_fd(const struct client *client)
{
	return client->fd;
}

short client_interest(const struct client *client)
{
	return mux_has_output(client->mux) && !client->deaf ? POLLIN | POLLOUT : POLLIN;
}

static enum err_code code_of(uint32_t code)
{
	return code == PROTO_AGAIN ? ERR_AGAIN : ERR_GUEST;
}

static int connection_lost(const struct client *client, const char *why, struct err *err)
{
	return err_set(err, code_of(client->goaway_code),
		       "the connection to the VM was lost: %s; `dxvm logs` may tell more",
		       client->goaway ? client->goaway : why);
}

static int write_some(struct client *client, struct err *err)
{
	const uint8_t *bytes;
	size_t length;

	while (!client->deaf && (length = mux_output(client->mux, &bytes)) > 0) {
		ssize_t n = send(client->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			mux_sent(client->mux, (size_t)n);
		else if (errno == EAGAIN)
			return 0;
		else if (errno == EPIPE || errno == ECONNRESET)
			client->deaf = true;
		else if (errno != EINTR)
			return connection_lost(client, strerror(errno), err);
	}
	return 0;
}

int client_handle(struct client *client, short revents, struct err *err)
{
	static uint8_t bytes[READ_CHUNK];
	ssize_t n;

	if (revents & (POLLIN | POLLHUP | POLLERR)) {
		n = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n == 0)
			return connection_lost(client, "its supervisor ended", err);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return connection_lost(client, strerror(errno), err);
		if (n > 0 && mux_feed(client->mux, bytes, (size_t)n, err) < 0)
			return err_wrap(err, "the VM's supervisor");
	}
	return write_some(client, err);
}

static long milliseconds_since(const struct timespec *start)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

/* One turn: waits for the socket at most timeout_ms. */
static int step(struct client *client, int timeout_ms, struct err *err)
{
	struct pollfd p = {.fd = client->fd, .events = client_interest(client)};

	if (poll(&p, 1, timeout_ms) < 0 && errno != EINTR)
		return err_sys(err, "poll");
	return client_handle(client, p.revents, err);
}

int client_explain_loss(struct client *client, struct err *err)
{
	struct timespec start;
	long left;

	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	while (!client->goaway && (left = EXPLAIN_LIMIT_MS - milliseconds_since(&start)) > 0)
		if (step(client, (int)left, err) < 0)
			return -1;
	return client->goaway
		   ? err_set(err, code_of(client->goaway_code), "%s; `dxvm logs` may tell more",
			     client->goaway)
		   : err_set(err, ERR_GUEST, "the guest ended the session without a status");
}

int client_call(struct client *client, enum proto_what what, struct buf *ret_payload,
		struct err *err)
{
	client->replied = false;
	if (mux_request(client->mux, ++client->last_request, what, NULL, 0) < 0)
		return err_set(err, ERR_PROTOCOL, "the VM's supervisor does not read");
	while (!client->replied) {
		if (step(client, 1000, err) < 0)
			return -1;
		if (client->progress)
			progress_tick(client->progress);
	}
	if (client->reply_code != PROTO_OK)
		return err_set(err, code_of(client->reply_code), "%.*s",
			       (int)buf_length(&client->reply),
			       (const char *)buf_data(&client->reply));
	if (ret_payload)
		(void)buf_append(ret_payload, buf_data(&client->reply), buf_length(&client->reply));
	return 0;
}

static int shake_hands(struct client *client, struct err *err)
{
	struct timespec start;
	long left;

	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	while (!mux_ready(client->mux)) {
		left = HELLO_LIMIT_MS - milliseconds_since(&start);
		if (left <= 0) {
			errno = ETIMEDOUT;
			return err_sys(err, "no HELLO in %d s", HELLO_LIMIT_MS / 1000);
		}
		if (step(client, (int)left, err) < 0)
			return -1;
	}
	return 0;
}

int client_dial(const char *path, pid_t pid, struct client **ret_client, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	auto_client struct client *client = NULL;

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return err_sys(err, "connect to %s", path);
	client = client_new(take_fd(&fd), pid);
	if (shake_hands(client, err) < 0)
		return -1;
	if (client->goaway_code == PROTO_NO_RESOURCES)
		return err_set(err, ERR_BUSY, "%s", client->goaway);
	*ret_client = take_ptr(&client);
	return 0;
}
