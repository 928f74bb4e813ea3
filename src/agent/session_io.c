/*
 * Theory of operation.
 *
 * Output is read only when the peer has given credit, at most READ_MAX a turn, and when it turns out
 * to be much straight into the frames that leave next (mux_places): a program that nobody reads from
 * stands still, and one that floods gets its turn like all others. Input waits in `in` until the
 * program takes it; only then the peer gets its credit back.
 *
 * A session that may be detached records its output in a ring, and is read when all of that was
 * sent, or when there is nobody to send it to. A new client is sent what the one before has given
 * no credit for: that was on its way and may be lost, and credit comes in steps, so most often it
 * is also what stood on the screen.
 *
 * The end. When the program is reaped, what it wrote is in the pipe or the terminal already: it is
 * read until there is nothing left, but no further than the backlog noted at that moment, since
 * somebody else may hold the other end and write for ever. That can take several rounds, each
 * started by credit. Then EXIT follows the last byte. We do not wait for end of file: a program
 * left in the background keeps it open for as long as it likes.
 *
 * Of a terminal we keep a descriptor of the slave side: without it the master would report EIO
 * while nobody has it open, even if somebody is about to open /dev/tty again.
 */
#include "agent/session_internal.h"

#include "agent/queries.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <termios.h>

#define READ_MAX  131072u
#define PIPE_FULL 65536 /* what a pipe holds at first */
/* More than the kernel holds between the two sides of a terminal (64 KiB and a line). */
#define TTY_BACKLOG_MAX (160u << 10)
#define EOF_BYTES	2 /* what in may hold besides two windows: of a client, and of the one before */

static bool is_recorded(const struct session *session)
{
	return session->detach != PROTO_DETACH_NEVER;
}

/* How much may be sent now. Of what is recorded no more is on its way than the record holds, so that
 * all that a client was lost with can be sent again. */
static size_t may_send(const struct session *session)
{
	size_t window = mux_window(session->channel);
	size_t record;

	if (!is_recorded(session))
		return window;
	record = RING_BYTES - (size_t)(session->sent - session->seen);
	return window < record ? window : record;
}

/* How much of its output can be taken now. */
static size_t room(const struct session *session)
{
	if (!session->channel)
		return READ_MAX;
	if (is_recorded(session) && session->sent < session->ring.end)
		return 0;
	return may_send(session);
}

static void send_recorded(struct session *session)
{
	while (session->channel && session->sent < session->ring.end) {
		size_t most = may_send(session);
		const uint8_t *bytes;
		size_t length = ring_peek(&session->ring, session->sent, &bytes);

		if (most == 0)
			return;
		length = length < most ? length : most;
		mux_send(session->channel, 0, bytes, length);
		session->sent += length;
	}
}

static void take_output(struct session *session, uint8_t flags, const uint8_t *bytes, size_t length)
{
	if (!is_recorded(session)) {
		mux_send(session->channel, flags, bytes, length);
		return;
	}
	terminal_modes_feed(&session->modes, bytes, length);
	ring_append(&session->ring, bytes, length);
	send_recorded(session);
}

static void update_events(struct session *session)
{
	bool may_read = session->state == SESSION_RUNNING && room(session) > 0;

	for (size_t i = 0; i < ARRAY_SIZE(session->output); i++)
		session->output[i].watch.events = may_read ? POLLIN : 0;
	session->input.events = buf_length(&session->in) > 0 ? POLLOUT : 0;
}

static void close_watch(struct loop_watch *watch)
{
	loop_watch_remove(watch);
	close_fd(&watch->fd);
}

/* Deep enough that much data wakes each side seldom: in an emulated guest a wake-up on the other
 * processor costs more than the bytes. One that stays small only costs that, and a terminal has no
 * depth. */
static void deepen(int fd)
{
	(void)fcntl(fd, F_SETPIPE_SZ, (int)PROTO_WINDOW);
}

/* One read. 0: nothing more to be had now, or ever (then the fd is closed). */
static size_t read_some(struct session_output *output, size_t most)
{
	struct session *session = output->session;
	struct iovec places[MUX_PLACES];
	static uint8_t bytes[READ_MAX];
	size_t limit = room(session);
	size_t want = most < sizeof(bytes) ? most : sizeof(bytes);
	bool may_place = output->is_much && session->channel && !is_recorded(session);
	int count;
	ssize_t n;

	if (output->watch.fd < 0 || limit == 0 || want == 0)
		return 0;
	want = want < limit ? want : limit;
	count = may_place ? mux_places(session->channel, want, places) : 0;
	n = count > 0 ? readv(output->watch.fd, places, count)
		      : read(output->watch.fd, bytes, want);
	if (n >= PIPE_FULL && !output->is_much) {
		output->is_much = true;
		deepen(output->watch.fd);
	}
	if (n > 0) {
		if (count > 0)
			mux_placed(session->channel, output->flags, (size_t)n);
		else
			take_output(session, output->flags, bytes, (size_t)n);
		return (size_t)n;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		close_watch(&output->watch);
	return 0;
}

static void on_output(struct loop_watch *watch, short revents)
{
	struct session_output *output = list_entry(watch, struct session_output, watch);

	(void)revents;
	(void)read_some(output, READ_MAX);
	update_events(output->session);
}

/* After the end of the program. True when all its output is queued. */
static bool drain(struct session *session)
{
	for (size_t i = 0; i < ARRAY_SIZE(session->output); i++) {
		struct session_output *output = &session->output[i];
		size_t taken;

		do {
			if (output->watch.fd >= 0 && output->backlog > 0 && room(session) == 0)
				return false;
			taken = read_some(output, output->backlog);
			output->backlog -= taken;
		} while (taken > 0);
	}
	return !session->channel || !is_recorded(session) || session->sent == session->ring.end;
}

void session_io_reaped(struct session *session)
{
	for (size_t i = 0; i < ARRAY_SIZE(session->output); i++) {
		struct session_output *output = &session->output[i];
		int held = 0;

		loop_watch_remove(&output->watch);
		if (output->watch.fd < 0)
			continue;
		if (session->tty)
			output->backlog = TTY_BACKLOG_MAX;
		else if (ioctl(output->watch.fd, FIONREAD, &held) == 0 && held > 0)
			output->backlog = (size_t)held;
	}
	if (drain(session))
		session_finish(session);
}

void session_io_credited(struct session *session, uint32_t bytes)
{
	uint32_t ahead = bytes < session->prefix ? bytes : session->prefix;

	session->prefix -= ahead;
	session->seen += bytes - ahead;
}

void session_io_replay(struct session *session)
{
	char modes[TERMINAL_MODES_UNDO_MAX];
	size_t length = terminal_modes_redo(&session->modes, modes);

	session->seen = ring_line_start(&session->ring, session->seen);
	queries_silence(&session->ring, session->seen);
	session->sent = session->seen;
	session->prefix = (uint32_t)length;
	session->in_owed = 0;
	if (buf_length(&session->in) > PROTO_WINDOW)
		buf_clear(&session->in); /* of several: nobody waits for that, and room is needed */
	mux_send(session->channel, 0, modes, length);
}

void session_io_advance(struct session *session)
{
	send_recorded(session);
	if (session->state == SESSION_RUNNING && session->reaped) {
		if (drain(session))
			session_finish(session);
		return;
	}
	update_events(session);
}

static void pay_input(struct session *session, size_t length)
{
	size_t owed = length < session->in_owed ? length : session->in_owed;

	session->in_owed -= owed;
	if (session->channel)
		mux_consume(session->channel, (uint32_t)owed);
}

static void close_input(struct session *session)
{
	close_watch(&session->input);
	pay_input(session, session->in_owed);
	buf_clear(&session->in);
}

/* A terminal has no end of file; its line discipline makes one of a character. After the start of
 * a line the first only hands that over, and a second is needed. */
static void end_terminal_input(struct session *session)
{
	struct termios mode;

	session->in_eof = false;
	if (tcgetattr(session->slave, &mode) < 0 || !(mode.c_lflag & ICANON))
		return;
	for (int i = 0; i < (session->in_line ? 2 : 1); i++)
		(void)buf_append(&session->in, &mode.c_cc[VEOF], 1);
}

static void input_written(struct session *session, size_t length)
{
	if (length > 0)
		session->in_line = buf_data(&session->in)[length - 1] != '\n';
	buf_consume(&session->in, length);
	pay_input(session, length);
	if (buf_length(&session->in) > 0 || !session->in_eof)
		return;
	if (session->tty)
		end_terminal_input(session);
	else
		close_input(session);
}

static void on_input(struct loop_watch *watch, short revents)
{
	struct session *session = list_entry(watch, struct session, input);
	ssize_t n = write(watch->fd, buf_data(&session->in), buf_length(&session->in));

	(void)revents;
	if (n >= 0 && (size_t)n < buf_length(&session->in) && !session->in_is_much) {
		session->in_is_much = true;
		deepen(watch->fd);
	}
	if (n >= 0)
		input_written(session, (size_t)n);
	else if (errno != EAGAIN && errno != EINTR)
		close_input(session); /* the program does not read any more */
	update_events(session);
}

void session_io_input(struct session *session, const uint8_t *bytes, size_t length)
{
	session->in_owed += length;
	if ((session->input.fd < 0 && session->state == SESSION_RUNNING) ||
	    buf_append(&session->in, bytes, length) < 0) {
		pay_input(session, length);
		return;
	}
	update_events(session);
}

void session_io_input_eof(struct session *session)
{
	session->in_eof = true;
	if (session->state == SESSION_RUNNING && session->input.fd >= 0) {
		input_written(session, 0);
		update_events(session);
	}
}

void session_io_init(struct session *session)
{
	loop_watch_init(&session->report);
	loop_watch_init(&session->input);
	session->input.ready = on_input;
	session->slave = -1;
	session->note = -1;
	buf_init(&session->in, (size_t)2 * PROTO_WINDOW + EOF_BYTES);
	for (size_t i = 0; i < ARRAY_SIZE(session->output); i++) {
		struct session_output *output = &session->output[i];

		loop_watch_init(&output->watch);
		output->watch.ready = on_output;
		output->session = session;
		output->flags = i == 0 ? 0 : PROTO_DATA_STDERR;
	}
}

void session_io_start(struct session *session)
{
	for (size_t i = 0; i < ARRAY_SIZE(session->output); i++)
		if (session->output[i].watch.fd >= 0)
			loop_watch_add(session->all->loop, &session->output[i].watch);
	loop_watch_add(session->all->loop, &session->input);
	if (session->in_eof)
		session_io_input_eof(session);
	update_events(session);
}

void session_io_done(struct session *session)
{
	close_watch(&session->report);
	close_watch(&session->input);
	for (size_t i = 0; i < ARRAY_SIZE(session->output); i++)
		close_watch(&session->output[i].watch);
	close_fd(&session->slave);
	close_fd(&session->note);
	buf_done(&session->in);
}
