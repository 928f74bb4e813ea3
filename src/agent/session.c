/*
 * Theory of operation. A session is made by OPEN, collects its description, forks, and learns
 * through a pipe that closes on exec whether the program runs: then ACCEPT, else REJECT with the
 * code a shell would make 126 or 127 of. Until then it only collects input.
 *
 * SIGCHLD may be seen before that pipe: the status is kept until the pipe has spoken. A session is
 * freed as soon as it has said its last word on the channel or lost it; the channel then has no
 * owner and closes by itself, and a program that lives on is an orphan like others.
 *
 * Losing the client means SIGHUP, in one place (lose_client), unless the session may be detached
 * (session_attach.c): then it goes on without a channel.
 */
#include "agent/session_internal.h"

#include "base/mem.h"
#include "wire/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

static const struct mux_channel_ops session_ops;

void session_free(struct session *session)
{
	if (session->state == SESSION_DESCRIBING)
		session->all->descriptions -= session->announced;
	list_remove(&session->link);
	session->all->count--;
	if (session->channel)
		mux_set_ops(session->channel, NULL, NULL);
	session_io_done(session);
	ring_done(&session->ring);
	buf_done(&session->description);
	free(session->command);
	free(session);
}

void session_reject(struct session *session, enum proto_reject code, const char *text)
{
	if (session->channel)
		mux_reject(session->channel, code, text);
	session_free(session);
}

void session_accept(struct session *session, struct mux_channel *channel)
{
	auto_buf struct buf payload;

	buf_init(&payload, sizeof(session->id));
	(void)msg_write_u32(&payload, session->id);
	session->channel = channel;
	mux_set_ops(channel, &session_ops, session);
	mux_accept(channel, buf_data(&payload), buf_length(&payload));
}

void session_finish(struct session *session)
{
	bool signaled = WIFSIGNALED(session->wait_status);

	if (!session->channel) {
		session_keep(session);
		return;
	}
	mux_eof(session->channel);
	mux_exit(session->channel, signaled ? PROTO_SIGNALED : PROTO_EXITED,
		 (uint32_t)(signaled ? WTERMSIG(session->wait_status)
				     : WEXITSTATUS(session->wait_status)));
	mux_close(session->channel);
	session_free(session);
}

/* Before exec there is no process group of its own yet, and nothing that could handle a signal. */
static void send_signal(const struct session *session, pid_t group, int number)
{
	if (session->pid <= 0)
		return;
	if (session->state == SESSION_RUNNING)
		(void)kill(-group, number);
	else
		(void)kill(session->pid, SIGKILL);
}

static void hang_up(struct session *session)
{
	send_signal(session, session->pid, SIGHUP);
	send_signal(session, session->pid, SIGCONT);
	session_free(session);
}

static void lose_client(struct session *session)
{
	if (!session_detach(session))
		hang_up(session);
}

/* The pipe that closes on exec. */
static void on_report(struct loop_watch *watch, short revents)
{
	struct session *session = list_entry(watch, struct session, report);
	struct session_report report = {.error = 0};
	ssize_t n = read(watch->fd, &report, sizeof(report));
	auto_free char *text = NULL;

	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	loop_watch_remove(watch);
	close_fd(&watch->fd);
	if (n == (ssize_t)sizeof(report)) {
		text = xasprintf("%s%s", strerror(report.error),
				 report.failed_exec && report.exists && report.error == ENOENT
				     ? " (its interpreter is missing)"
				     : "");
		if (!report.failed_exec)
			session_reject(session, PROTO_FAILED, text);
		else if (report.exists)
			session_reject(session, PROTO_NOT_EXECUTABLE, text);
		else
			session_reject(session, PROTO_NOT_FOUND, text);
		return;
	}
	session->state = SESSION_RUNNING;
	session->id = ++session->all->last_id;
	if (session->channel)
		session_accept(session, session->channel);
	session_io_start(session);
	if (session->reaped)
		session_io_reaped(session);
	else if (session->early_signal)
		send_signal(session, session->pid, (int)session->early_signal);
}

static void start(struct session *session)
{
	struct sessions *all = session->all;
	struct message_session wanted;
	enum proto_reject code = PROTO_BAD_REQUEST;
	struct err err = ERR_INIT;
	int started;

	all->descriptions -= session->announced;
	session->state = SESSION_STARTING;
	if (session->kind == PROTO_KIND_ATTACH) {
		session_attach(session);
		return;
	}
	if (message_session_decode(&wanted, buf_data(&session->description),
				   buf_length(&session->description), &err) < 0) {
		session_reject(session, code, err.text);
		return;
	}
	buf_done(&session->description);
	session->tty = wanted.tty;
	session->window =
	    (struct message_window){wanted.rows, wanted.columns, wanted.width, wanted.height};
	session_describe(session, &wanted);
	started = session_spawn(session, &wanted, &code, &err);
	message_session_done(&wanted);
	if (started < 0) {
		session_reject(session, code, err.text);
		return;
	}
	session->report.events = POLLIN;
	session->report.ready = on_report;
	loop_watch_add(all->loop, &session->report);
}

static void on_data(struct mux_channel *channel, uint8_t flags, const uint8_t *bytes, size_t length)
{
	struct session *session = mux_user(channel);
	size_t missing = 0;

	(void)flags;
	if (session->state == SESSION_DESCRIBING) {
		missing = session->announced - buf_length(&session->description);
		missing = missing < length ? missing : length;
		(void)buf_append(&session->description, bytes, missing);
		mux_consume(channel, (uint32_t)missing);
		if (buf_length(&session->description) == session->announced)
			start(session);
	}
	/* start() may have rejected and freed it. */
	session = mux_user(channel);
	if (session && length > missing)
		session_io_input(session, bytes + missing, length - missing);
}

static void on_eof(struct mux_channel *channel)
{
	struct session *session = mux_user(channel);

	if (session->state == SESSION_DESCRIBING)
		session_reject(session, PROTO_BAD_REQUEST, "the description of the session is cut");
	else
		session_io_input_eof(session);
}

static void on_request(struct mux_channel *channel, uint32_t id, uint16_t what,
		       const uint8_t *payload, size_t length)
{
	struct session *session = mux_user(channel);
	struct message_window window;
	struct err ignored = ERR_INIT;
	struct msg_reader reader;
	uint32_t number;

	(void)id;
	msg_read_from(&reader, payload, length);
	switch (what) {
	case PROTO_RESIZE:
		if (message_window_decode(&window, payload, length, &ignored) < 0)
			break;
		session->window = window;
		session_tty_resize(session);
		break;
	case PROTO_SIGNAL:
		number = msg_read_u32(&reader);
		if (!msg_ok(&reader) || number == 0 || number >= (uint32_t)NSIG)
			break;
		if (session->state == SESSION_RUNNING)
			send_signal(session, session_foreground(session), (int)number);
		else
			session->early_signal = number;
		break;
	default: /* of a newer version */
		break;
	}
}

static void on_credit(struct mux_channel *channel, uint32_t bytes)
{
	struct session *session = mux_user(channel);

	session_io_credited(session, bytes);
	session_io_advance(session);
}

static void on_closing(struct mux_channel *channel)
{
	struct session *session = mux_user(channel);

	mux_close(channel);
	lose_client(session);
}

static void on_closed(struct mux_channel *channel, bool lost)
{
	(void)lost;
	lose_client(mux_user(channel));
}

static const struct mux_channel_ops session_ops = {
    .data = on_data,
    .eof = on_eof,
    .request = on_request,
    .credit = on_credit,
    .closing = on_closing,
    .closed = on_closed,
};

void session_open(struct sessions *sessions, struct mux_channel *channel, enum proto_kind kind,
		  uint32_t length)
{
	struct session *session;

	if (sessions->stopping) {
		mux_reject(channel, PROTO_SHUTTING_DOWN, "the guest is shutting down");
		return;
	}
	if (!sessions->user && !sessions->as_self) {
		mux_reject(channel, PROTO_BAD_REQUEST, "the guest is not configured yet");
		return;
	}
	if (sessions->count >= SESSION_COUNT_MAX)
		sessions_forget_ended(sessions, 0);
	if (sessions->count >= SESSION_COUNT_MAX ||
	    sessions->descriptions + length > SESSION_DESCRIPTIONS_MAX) {
		mux_reject(channel, PROTO_NO_RESOURCES,
			   "too many sessions in the guest; end some of them");
		return;
	}
	session = xcalloc(1, sizeof(*session));
	session->all = sessions;
	session->channel = channel;
	session->kind = kind;
	session->announced = length;
	buf_init(&session->description, length);
	session_io_init(session);
	list_append(&sessions->list, &session->link);
	sessions->count++;
	sessions->descriptions += length;
	mux_set_ops(channel, &session_ops, session);
	if (length == 0)
		start(session);
}

void session_reaped(struct sessions *sessions, pid_t pid, int wait_status)
{
	list_each(link, tmp, &sessions->list) {
		struct session *session = list_entry(link, struct session, link);

		if (session->pid != pid)
			continue;
		session->pid = 0;
		session->reaped = true;
		session->wait_status = wait_status;
		if (session->state == SESSION_RUNNING)
			session_io_reaped(session);
		return;
	}
}

void sessions_signal(struct sessions *sessions, int number)
{
	list_each(link, tmp, &sessions->list) {
		const struct session *session = list_entry(link, struct session, link);

		send_signal(session, session->pid, number);
	}
}

/* Asked once: a system call for each signal is dear in an emulated guest. */
static void note_ignored(sigset_t *ret_ignored)
{
	struct sigaction action;

	(void)sigemptyset(ret_ignored);
	for (int i = 1; i < NSIG; i++)
		if (sigaction(i, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			(void)sigaddset(ret_ignored, i);
	(void)sigaddset(ret_ignored, SIGPIPE); /* or will be */
}

static bool is_spared(void)
{
	char text[] = "0";
	auto_close int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);

	return fd >= 0 && read(fd, text, 1) == 1 && *text != '0';
}

void sessions_init(struct sessions *sessions, struct loop *loop)
{
	*sessions = (struct sessions){.loop = loop, .cgroup = -1, .is_spared = is_spared()};
	note_ignored(&sessions->ignored);
	list_init(&sessions->list);
}

void sessions_done(struct sessions *sessions)
{
	list_each(link, tmp, &sessions->list)
		hang_up(list_entry(link, struct session, link));
	free(sessions->user);
	free(sessions->project);
	nix_sources_done(&sessions->nix);
	if (sessions->cgroup >= 0)
		(void)close(sessions->cgroup);
}
