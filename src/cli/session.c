/*
 * Theory. One poll loop over the connection, standard input, the outputs and a pipe that signal
 * handlers write to.
 *
 *	stdin ──escape filter (tty)──▶ mux, as far as the window allows; no room: stdin is not polled
 *	mux ──▶ out / err buffers ──▶ stdout / stderr; consumed (credited) only once written
 *
 * So a slow reader of our output stops the program in the guest, not memory here: each buffer holds
 * at most a window (cli/output.h).
 *
 * With a terminal every key goes to the guest, and is read even while the guest takes none, as far
 * as there is room for it: ~. must work when the guest does not. Without, INT, TERM, QUIT and HUP
 * that reach us are sent on to the program, and we wait for what it makes of them; before it runs,
 * once it has ended, and when it answers the third with silence they end us.
 *
 * Output that cannot be written is no reason to stop a program in the middle of its work: we say so
 * at the end. Only one that nobody reads any more (EPIPE) ends it, as it would without us.
 */
#include "cli/session.h"

#include "base/mem.h"
#include "cli/escape.h"
#include "cli/output.h"
#include "cli/session_description.h"
#include "cli/session_end.h"
#include "cli/session_signals.h"
#include "cli/terminal.h"
#include "wire/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define INPUT_CHUNK	 16384
#define ASKED_MAX	 3 /* INT or TERM that nothing comes of: this one ends us */
#define ASKED_ROW_S	 2 /* when they come so soon after each other */
#define ESCAPE_HELP_TEXT "\r\ndxvm: after a newline:  ~.  detach   ~~  a tilde   ~?  this help\r\n"

enum stream {
	STREAM_OUT,
	STREAM_ERR,
	STREAM_COUNT,
};

struct session {
	const struct session_options *options;
	struct client *client;
	struct mux_channel *channel; /* NULL once closed */
	struct buf input; /* description, then standard input: what waits for the window */
	struct output output[STREAM_COUNT];
	struct escape escape;
	bool input_ended; /* standard input is at its end */
	bool input_is_much;
	bool eof_sent;
	bool accepted;
	bool left; /* by ~., or there is no terminal any more */
	int asked; /* how often it was told to end in a row, and nothing was heard of it */
	time_t asked_s;
	struct session_end end;
};

static const int stream_fds[] = {[STREAM_OUT] = STDOUT_FILENO, [STREAM_ERR] = STDERR_FILENO};

/* -- what the channel tells -- */

static void on_accepted(struct mux_channel *channel, const uint8_t *payload, size_t length)
{
	struct session *session = mux_user(channel);
	struct msg_reader reader;

	msg_read_from(&reader, payload, length);
	session->end.id = msg_read_u32(&reader);
	session->accepted = true;
}

static void on_rejected(struct mux_channel *channel, uint32_t code, const char *text)
{
	struct session *session = mux_user(channel);

	session->end.rejected = true;
	session->end.reject_code = code;
	session->end.reject_text = xstrdup(text);
}

static void on_data(struct mux_channel *channel, uint8_t flags, const uint8_t *bytes, size_t length)
{
	struct session *session = mux_user(channel);

	session->asked = 0;
	/* Never over the ceiling: the mux holds the guest to the window. */
	(void)buf_append(
	    &session->output[flags & PROTO_DATA_STDERR ? STREAM_ERR : STREAM_OUT].bytes, bytes,
	    length);
}

static void on_exit_status(struct mux_channel *channel, enum proto_exit how, uint32_t value)
{
	struct session *session = mux_user(channel);

	session->end.exited = true;
	session->end.status = how == PROTO_SIGNALED ? 128 + (int)(value & 127) : (int)(value & 255);
}

static void on_request(struct mux_channel *channel, uint32_t id, uint16_t what,
		       const uint8_t *payload, size_t length)
{
	struct session *session = mux_user(channel);

	(void)id;
	(void)payload;
	(void)length;
	if (what == PROTO_TAKEN)
		session->end.taken = true;
}

static void on_closed(struct mux_channel *channel, bool lost)
{
	struct session *session = mux_user(channel);

	(void)lost;
	session->channel = NULL;
}

static const struct mux_channel_ops session_ops = {
    .accepted = on_accepted,
    .rejected = on_rejected,
    .data = on_data,
    .exit = on_exit_status,
    .request = on_request,
    .closed = on_closed,
};

/* -- moving bytes -- */

/* As much of what waits as the window takes. EOF follows the last byte. */
static void send_input(struct session *session)
{
	size_t length;

	if (!session->channel || session->eof_sent)
		return;
	length = buf_length(&session->input);
	if (length > mux_window(session->channel))
		length = mux_window(session->channel);
	if (length > 0) {
		mux_send(session->channel, 0, buf_data(&session->input), length);
		buf_consume(&session->input, length);
	}
	if (session->input_ended && buf_length(&session->input) == 0) {
		mux_eof(session->channel);
		session->eof_sent = true;
	}
}

static void type(struct session *session, const char *bytes, size_t length)
{
	static char out[INPUT_CHUNK + 1];

	while (length > 0 && !session->left) {
		size_t used = 0;
		size_t sent = 0;
		enum escape_action action =
		    escape_feed(&session->escape, bytes, length, &used, out, &sent);

		(void)buf_append(&session->input, out, sent);
		bytes += used;
		length -= used;
		if (action == ESCAPE_LEAVE)
			session->left = true;
		else if (action == ESCAPE_HELP)
			(void)!write(STDOUT_FILENO, ESCAPE_HELP_TEXT, strlen(ESCAPE_HELP_TEXT));
	}
}

/* A pipe or file; when there is much in it, straight into the frames that leave next. */
static ssize_t read_file(struct session *session)
{
	struct iovec places[MUX_PLACES];
	int count = session->input_is_much ? mux_places(session->channel, SIZE_MAX, places) : 0;
	uint8_t *bytes = count > 0 ? NULL : buf_reserve(&session->input, INPUT_CHUNK);
	ssize_t n =
	    count > 0 ? readv(STDIN_FILENO, places, count) : read(STDIN_FILENO, bytes, INPUT_CHUNK);

	if (n > 0 && count > 0)
		mux_placed(session->channel, 0, (size_t)n);
	else if (n > 0)
		buf_commit(&session->input, (size_t)n);
	session->input_is_much |= n >= INPUT_CHUNK;
	return n;
}

static ssize_t read_keys(struct session *session)
{
	static char bytes[INPUT_CHUNK];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	if (n > 0)
		type(session, bytes, (size_t)n);
	return n;
}

static void read_input(struct session *session)
{
	bool tty = session->options->tty;
	ssize_t n = tty ? read_keys(session) : read_file(session);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	/* A raw terminal has no end of file: it is gone. */
	if (n <= 0 && tty)
		session->left = true;
	else if (n <= 0)
		session->input_ended = true;
}

static void write_output(struct session *session, enum stream stream)
{
	size_t n =
	    output_write(&session->output[stream], session->options->tty ? terminal_saw : NULL);

	if (session->channel)
		mux_consume(session->channel, (uint32_t)n);
}

static void send_window(struct session *session)
{
	struct message_window window;
	auto_buf struct buf payload;

	terminal_size(&window);
	buf_init(&payload, 64);
	(void)message_window_encode(&window, &payload);
	(void)mux_channel_request(session->channel, PROTO_RESIZE, buf_data(&payload),
				  buf_length(&payload));
}

static void send_signal(struct session *session, int signum)
{
	const uint8_t payload[] = {0, 0, 0, (uint8_t)signum};

	(void)mux_channel_request(session->channel, PROTO_SIGNAL, payload, sizeof(payload));
}

/* To a terminal that was somebody else's meanwhile. */
static void come_back(struct session *session)
{
	terminal_return();
	if (!session->channel)
		return;
	send_window(session);
	send_signal(session, SIGWINCH); /* drawn anew, also in the same size */
}

static void handle_terminal_signal(struct session *session, int signum)
{
	switch (signum) {
	case SIGTSTP:
		session_signals_stop();
		come_back(session);
		break;
	case SIGCONT:
		come_back(session);
		break;
	case SIGWINCH:
		if (session->channel)
			send_window(session);
		break;
	default:
		session_signals_die(signum);
	}
}

/* Not when it cannot get it, or makes nothing of it: the guest may stand still. */
static bool wants_signal(struct session *session, int signum)
{
	struct timespec now;

	if (!session->channel || !session->accepted || session->end.exited)
		return false;
	if (signum != SIGINT && signum != SIGTERM)
		return true;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	session->asked = now.tv_sec - session->asked_s > ASKED_ROW_S ? 1 : session->asked + 1;
	session->asked_s = now.tv_sec;
	return session->asked < ASKED_MAX;
}

static void handle_signals(struct session *session, int pipe_fd)
{
	unsigned char signum;

	while (read(pipe_fd, &signum, 1) == 1) {
		if (session->options->tty)
			handle_terminal_signal(session, signum);
		else if (signum == SIGWINCH)
			continue;
		else if (wants_signal(session, signum))
			send_signal(session, signum);
		else
			session_signals_die(signum);
	}
}

/* -1: what cannot be written. A terminal that is gone is seen by reading from it. */
static int check_outputs(const struct session *session, bool only_broken, struct err *err)
{
	static const char *const names[] = {[STREAM_OUT] = "output", [STREAM_ERR] = "error"};

	for (int i = 0; i < STREAM_COUNT && !session->options->tty; i++) {
		errno = session->output[i].failure;
		if (errno == EPIPE || (errno && !only_broken))
			return err_sys(err, "write standard %s", names[i]);
	}
	return 0;
}

static bool output_waits(const struct session *session)
{
	return buf_length(&session->output[STREAM_OUT].bytes) > 0 ||
	       buf_length(&session->output[STREAM_ERR].bytes) > 0;
}

static int waiting_fd(const struct output *output)
{
	return buf_length(&output->bytes) > 0 ? output->fd : -1;
}

static bool is_over(const struct session *session)
{
	return session->left || session->end.rejected ||
	       ((session->end.exited || session->end.taken) && !output_waits(session));
}

/* Losing the channel is no loss any more. */
static bool has_outcome(const struct session *session)
{
	return session->end.exited || session->end.taken || session->end.rejected;
}

/* A pipe or file is read only while the guest takes it, and never before the command runs: what a
 * command that is not there leaves unread is for the next one. */
static bool wants_input(const struct session *session)
{
	if (session->end.exited || session->input_ended || !session->channel)
		return false;
	if (session->options->tty)
		return buf_room(&session->input) > INPUT_CHUNK;
	return session->accepted && buf_length(&session->input) == 0 &&
	       mux_window(session->channel) > 0;
}

static int loop(struct session *session, int signals, struct err *err)
{
	enum {
		POLL_LINK,
		POLL_SIGNALS,
		POLL_INPUT,
		POLL_OUT,
		POLL_ERR,
		POLL_COUNT,
	};

	while (!is_over(session)) {
		struct pollfd p[POLL_COUNT] = {
		    [POLL_LINK] = {client_fd(session->client), client_interest(session->client), 0},
		    [POLL_SIGNALS] = {signals, POLLIN, 0},
		    [POLL_INPUT] = {wants_input(session) ? STDIN_FILENO : -1, POLLIN, 0},
		    [POLL_OUT] = {waiting_fd(&session->output[STREAM_OUT]), POLLOUT, 0},
		    [POLL_ERR] = {waiting_fd(&session->output[STREAM_ERR]), POLLOUT, 0},
		};

		if (poll(p, POLL_COUNT, -1) < 0 && errno != EINTR)
			return err_sys(err, "poll");
		if (p[POLL_SIGNALS].revents)
			handle_signals(session, signals);
		if (p[POLL_OUT].revents)
			write_output(session, STREAM_OUT);
		if (p[POLL_ERR].revents)
			write_output(session, STREAM_ERR);
		if (check_outputs(session, true, err) < 0)
			return -1;
		if (p[POLL_INPUT].revents)
			read_input(session);
		send_input(session);
		/* Once it is over, a connection that goes is no loss. */
		if (client_handle(session->client, p[POLL_LINK].revents, err) < 0 &&
		    !has_outcome(session))
			return -1;
		send_input(session);
		/* What came before the loss is still shown. */
		if (!session->channel && !has_outcome(session) && !output_waits(session))
			return client_explain_loss(session->client, err);
	}
	return 0;
}

/* -- start and end -- */

static int open_channel(struct session *session, struct err *err)
{
	enum proto_kind kind;

	if (session_description(session->options, &session->input, &kind, err) < 0)
		return -1;
	session->channel =
	    mux_open(client_mux(session->client), kind, (uint32_t)buf_length(&session->input),
		     &session_ops, session, err);
	return session->channel ? 0 : -1;
}

int session_run(struct client *client, const struct session_options *options, struct err *err)
{
	struct session session = {.options = options, .client = client};
	int signals = -1;
	int status = -1;
	bool over = false;

	buf_init(&session.input, PROTO_OPEN_MAX);
	for (int i = 0; i < STREAM_COUNT; i++)
		output_init(&session.output[i], stream_fds[i]);
	escape_init(&session.escape);
	/* Signals first: a resize from here on is seen, whatever size the description has. */
	if (session_signals_watch(options->tty, &signals, err) == 0) {
		if (open_channel(&session, err) == 0 && (!options->tty || terminal_raw(err) == 0) &&
		    loop(&session, signals, err) == 0)
			over = true;
		terminal_restore();
		if (over)
			status =
			    session_end_status(&session.end, options, client_stage(client), err);
		if (status >= 0 && check_outputs(&session, false, err) < 0)
			status = -1;
		session_signals_unwatch(&signals);
	}
	if (session.channel)
		mux_set_ops(session.channel, NULL, NULL);
	buf_done(&session.input);
	for (int i = 0; i < STREAM_COUNT; i++)
		output_done(&session.output[i]);
	free(session.end.reject_text);
	return status;
}
