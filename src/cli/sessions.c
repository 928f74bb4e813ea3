#include "cli/sessions.h"

#include "base/fingerprint.h"
#include "base/mem.h"
#include "base/safe_text.h"
#include "cli/session.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#define CHANGED	   "dxvm: devbox.json or devbox.lock has changed since "
#define S_PER_MIN  60ULL
#define S_PER_HOUR (60 * S_PER_MIN)
#define S_PER_DAY  (24 * S_PER_HOUR)

/* -- the list -- */

struct fetch {
	struct buf bytes;
	bool over;
	bool complete;
	uint32_t code; /* of a REJECT */
	char *text;
};

static void on_rejected(struct mux_channel *channel, uint32_t code, const char *text)
{
	struct fetch *fetch = mux_user(channel);

	fetch->code = code;
	fetch->text = xstrdup(text);
}

static void on_data(struct mux_channel *channel, uint8_t flags, const uint8_t *bytes, size_t length)
{
	struct fetch *fetch = mux_user(channel);

	(void)flags;
	(void)buf_append(&fetch->bytes, bytes, length);
	mux_consume(channel, (uint32_t)length);
}

static void on_eof(struct mux_channel *channel)
{
	struct fetch *fetch = mux_user(channel);

	fetch->complete = true;
}

static void on_closed(struct mux_channel *channel, bool lost)
{
	struct fetch *fetch = mux_user(channel);

	(void)lost;
	fetch->over = true;
}

static const struct mux_channel_ops fetch_ops = {
    .rejected = on_rejected,
    .data = on_data,
    .eof = on_eof,
    .closed = on_closed,
};

static int wait_for(struct client *client, const struct fetch *fetch, struct err *err)
{
	while (!fetch->over) {
		struct pollfd p = {.fd = client_fd(client), .events = client_interest(client)};

		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return err_sys(err, "poll");
		if (client_handle(client, p.revents, err) < 0)
			return -1;
	}
	return 0;
}

static int take(const struct fetch *fetch, struct message_sessions *ret_sessions, struct err *err)
{
	*ret_sessions = (struct message_sessions){.count = 0};
	if (fetch->code == PROTO_UNKNOWN)
		return 0;
	if (fetch->text)
		return err_set(err, fetch->code == PROTO_AGAIN ? ERR_AGAIN : ERR_GUEST, "%s",
			       fetch->text);
	if (!fetch->complete)
		return err_set(err, ERR_GUEST, "the guest went away");
	return message_sessions_decode(ret_sessions, buf_data(&fetch->bytes),
				       buf_length(&fetch->bytes), err);
}

int sessions_fetch(struct client *client, struct message_sessions *ret_sessions, struct err *err)
{
	struct fetch fetch = {.code = PROTO_OK};
	struct mux_channel *channel =
	    mux_open(client_mux(client), PROTO_KIND_LIST, 0, &fetch_ops, &fetch, err);
	int status = -1;

	if (!channel)
		return -1;
	buf_init(&fetch.bytes, MESSAGE_SESSIONS_BYTES);
	if (wait_for(client, &fetch, err) == 0)
		status = take(&fetch, ret_sessions, err);
	if (!fetch.over)
		mux_set_ops(channel, NULL, NULL);
	buf_done(&fetch.bytes);
	free(fetch.text);
	return status;
}

/* -- for people -- */

char *sessions_name(const struct message_listed *listed)
{
	static const char entered[] = "dxvm-devbox enter ";
	const char *command = listed->command;

	if (listed->detach == PROTO_DETACH_SHELL || !*command)
		return xstrdup("shell");
	if (strncmp(command, entered, strlen(entered)) == 0)
		command += strlen(entered);
	return safe_text(command, strlen(command), SAFE_TEXT_LINE);
}

static char *age(uint64_t started_s)
{
	uint64_t now = (uint64_t)time(NULL);
	unsigned long long s = now > started_s ? now - started_s : 0;

	if (s < 2 * S_PER_MIN)
		return xasprintf("%llu s", s);
	if (s < 2 * S_PER_HOUR)
		return xasprintf("%llu min", s / S_PER_MIN);
	if (s < 2 * S_PER_DAY)
		return xasprintf("%llu h", s / S_PER_HOUR);
	return xasprintf("%llu days", s / S_PER_DAY);
}

static char *state(const struct message_listed *listed)
{
	if (listed->state == PROTO_SESSION_ATTACHED)
		return xstrdup("attached");
	if (listed->state == PROTO_SESSION_DETACHED)
		return xstrdup("detached");
	return xasprintf(listed->how == PROTO_SIGNALED ? "killed %u" : "ended %u", listed->value);
}

void sessions_print(const struct message_sessions *sessions, bool only_left, FILE *out)
{
	for (uint32_t i = 0; i < sessions->count; i++) {
		const struct message_listed *listed = &sessions->listed[i];
		auto_free char *name = sessions_name(listed);
		auto_free char *since = age(listed->started_s);
		auto_free char *how = state(listed);

		if (!only_left || listed->state != PROTO_SESSION_ATTACHED)
			(void)fprintf(out, "%4u  %-10s  %8s  %3ux%-3u  %s\n", listed->id, how,
				      since, listed->columns, listed->rows, name);
	}
}

/* -- coming back -- */

static bool is_changed(const struct message_listed *listed, uint64_t environment)
{
	return listed->state != PROTO_SESSION_ENDED && listed->environment != FINGERPRINT_NONE &&
	       listed->environment != environment;
}

void sessions_say_changed(const struct message_sessions *sessions, uint32_t id,
			  uint64_t environment)
{
	for (uint32_t i = 0; i < sessions->count; i++) {
		const struct message_listed *listed = &sessions->listed[i];
		auto_free char *name = listed->id == id && is_changed(listed, environment)
					   ? sessions_name(listed)
					   : NULL;

		if (name)
			(void)fprintf(stderr, CHANGED "%s %u was opened; %s\n", name, id,
				      listed->detach == PROTO_DETACH_SHELL
					  ? "`refresh` in it takes that over"
					  : "it runs in the environment from before");
	}
}

/* Of those that run on while a new shell is opened. */
static void say_others(const struct message_sessions *sessions, uint64_t environment)
{
	uint32_t count = 0;
	uint32_t last = 0;

	for (uint32_t i = 0; i < sessions->count; i++) {
		if (!is_changed(&sessions->listed[i], environment))
			continue;
		count++;
		last = sessions->listed[i].id;
	}
	if (count == 1)
		sessions_say_changed(sessions, last, environment);
	else if (count > 1)
		(void)fprintf(stderr,
			      CHANGED "%u sessions were opened; they run in the environment from "
				      "before\n",
			      count);
}

/* Detached shells; *ret_last is one of them. */
static uint32_t count_left(const struct message_sessions *sessions,
			   const struct message_listed **ret_last, bool quiet)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < sessions->count; i++) {
		const struct message_listed *listed = &sessions->listed[i];
		auto_free char *name = sessions_name(listed);

		if (listed->state == PROTO_SESSION_ENDED && !quiet)
			(void)fprintf(stderr,
				      "dxvm: %s %u has ended while nobody was attached; `dxvm "
				      "attach %u` shows how\n",
				      name, listed->id, listed->id);
		if (listed->state != PROTO_SESSION_DETACHED || listed->detach != PROTO_DETACH_SHELL)
			continue;
		count++;
		*ret_last = listed;
	}
	return count;
}

int sessions_return(struct client *client, const struct sessions_enter *enter, bool *ret_none,
		    struct err *err)
{
	struct message_sessions sessions CLEANUP(message_sessions_done) = {.count = 0};
	const struct message_listed *last = NULL;
	struct session_options options = {
	    .tty = true, .ret_missing = ret_none, .quiet = enter->quiet};
	uint32_t count;

	*ret_none = false;
	if (sessions_fetch(client, &sessions, err) < 0)
		return -1;
	count = count_left(&sessions, &last, enter->quiet);
	if (count == 0) {
		if (!enter->quiet)
			say_others(&sessions, enter->environment);
		*ret_none = true;
		return 0;
	}
	if (count > 1) {
		sessions_print(&sessions, true, stderr);
		return err_set(
		    err, ERR_BUSY,
		    "%u shells are detached: `dxvm attach ID` comes back to one of them, "
		    "`dxvm shell --new` opens another",
		    count);
	}
	auto_free char *since = age(last->started_s);
	if (!enter->quiet) {
		(void)fprintf(stderr,
			      "dxvm: back in shell %u, opened %s ago (`dxvm shell --new` opens "
			      "another)\n",
			      last->id, since);
		sessions_say_changed(&sessions, last->id, enter->environment);
	}
	options.attach = last->id;
	return session_run(client, &options, err);
}
