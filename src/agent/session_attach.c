/*
 * Theory of operation. A session that loses its client and may be detached only loses its channel:
 * its output is read on into the ring, its input stands still. Somebody who attaches opens a
 * channel of another kind, whose description names the session; the channel is then the session's,
 * as if it had been from the beginning.
 *
 * The new client is sent what the ring has, and the terminal gets its size. A full-screen program
 * draws anew at SIGWINCH, so one is sent even if the size is the same.
 *
 * A program that ends meanwhile leaves a session that is nothing but its last output and its
 * status, until somebody has attached and seen them, or there are too many such.
 */
#include "agent/session_internal.h"

#include "base/mem.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

/* The beginning of what was typed, for people. */
static char *join(char *const *words)
{
	auto_buf struct buf text;

	buf_init(&text, MESSAGE_COMMAND_MAX);
	for (char *const *word = words; *word; word++) {
		size_t length = strlen(*word);

		if (word != words && buf_append(&text, " ", 1) < 0)
			break;
		if (length > buf_room(&text))
			length = buf_room(&text);
		(void)buf_append(&text, *word, length);
	}
	return xstrndup((const char *)buf_data(&text), buf_length(&text));
}

void session_describe(struct session *session, const struct message_session *wanted)
{
	session->started_s = (uint64_t)time(NULL);
	session->command = join(wanted->arguments);
	session->detach = wanted->tty ? wanted->detach : PROTO_DETACH_NEVER;
	if (session->detach != PROTO_DETACH_NEVER)
		ring_init(&session->ring);
}

bool session_detach(struct session *session)
{
	if (session->detach == PROTO_DETACH_NEVER)
		return false;
	mux_set_ops(take_ptr(&session->channel), NULL, NULL);
	session->in_owed = 0;
	session_io_advance(session);
	return true;
}

/* The one that ended first and is nobody's. */
static struct session *first_ended(const struct sessions *sessions, uint32_t *ret_count)
{
	struct session *first = NULL;

	*ret_count = 0;
	list_each(link, tmp, &sessions->list) {
		struct session *session = list_entry(link, struct session, link);

		*ret_count += session->ended > 0;
		if (session->ended && !session->channel &&
		    (!first || session->ended < first->ended))
			first = session;
	}
	return first;
}

void sessions_forget_ended(struct sessions *sessions, uint32_t keep)
{
	uint32_t count;
	struct session *first;

	while ((first = first_ended(sessions, &count)) && count > keep)
		session_free(first);
}

void session_keep(struct session *session)
{
	if (session->all->stopping) {
		session_free(session);
		return;
	}
	session_io_done(session);
	session->ended = ++session->all->last_ended;
	sessions_forget_ended(session->all, SESSION_ENDED_MAX);
}

static struct session *find(const struct sessions *sessions, uint32_t id)
{
	list_each(link, tmp, &sessions->list) {
		struct session *session = list_entry(link, struct session, link);

		if (session->id == id && session->state == SESSION_RUNNING)
			return session;
	}
	return NULL;
}

static void refuse(struct session *asking, enum proto_reject code, const char *why, uint32_t id)
{
	auto_free char *text = xasprintf("%s session %u", why, id);

	session_reject(asking, code, text);
}

static void show_on(struct session *session, const struct message_window *window)
{
	if (window->rows && window->columns) {
		session->window = *window;
		session_tty_resize(session);
	}
	if (!session->ended && !session->reaped)
		(void)kill(-session_foreground(session), SIGWINCH);
}

void session_attach(struct session *asking)
{
	struct mux_channel *channel = asking->channel;
	struct message_attach attach;
	struct err err = ERR_INIT;
	struct session *session;

	if (message_attach_decode(&attach, buf_data(&asking->description),
				  buf_length(&asking->description), &err) < 0) {
		session_reject(asking, PROTO_BAD_REQUEST, err.text);
		return;
	}
	session = find(asking->all, attach.id);
	if (!session) {
		refuse(asking, PROTO_NOT_FOUND, "there is no", attach.id);
	} else if (session->detach == PROTO_DETACH_NEVER) {
		refuse(asking, PROTO_BAD_REQUEST, "nobody can attach to", attach.id);
	} else if (session->channel && !attach.take) {
		refuse(asking, PROTO_BAD_REQUEST, "somebody is attached to", attach.id);
	} else {
		asking->channel = NULL;
		session_free(asking);
		if (session->channel) {
			(void)mux_channel_request(session->channel, PROTO_TAKEN, NULL, 0);
			mux_close(session->channel);
			mux_set_ops(session->channel, NULL, NULL);
		}
		session_accept(session, channel);
		session_io_replay(session);
		show_on(session, &attach.window);
		session_io_advance(session);
	}
}

static struct message_listed listed(const struct session *session)
{
	bool signaled = WIFSIGNALED(session->wait_status);

	return (struct message_listed){
	    .id = session->id,
	    .state = session->channel ? PROTO_SESSION_ATTACHED
		     : session->ended ? PROTO_SESSION_ENDED
				      : PROTO_SESSION_DETACHED,
	    .detach = session->detach,
	    .started_s = session->started_s,
	    .rows = session->window.rows,
	    .columns = session->window.columns,
	    .how = signaled ? PROTO_SIGNALED : PROTO_EXITED,
	    .value = !session->ended ? 0
		     : signaled	     ? (uint32_t)WTERMSIG(session->wait_status)
				     : (uint32_t)WEXITSTATUS(session->wait_status),
	    .command = session->command,
	    .environment = session_note_read(session),
	};
}

void sessions_list(const struct sessions *sessions, struct mux_channel *channel)
{
	struct message_listed all[SESSION_COUNT_MAX];
	struct message_sessions message = {.listed = all};
	auto_buf struct buf payload;

	_Static_assert(MESSAGE_SESSIONS_BYTES <= PROTO_WINDOW, "a list goes without credit");
	list_each(link, tmp, &sessions->list) {
		const struct session *session = list_entry(link, struct session, link);

		if (session->state == SESSION_RUNNING && message.count < SESSION_COUNT_MAX)
			all[message.count++] = listed(session);
	}
	buf_init(&payload, MESSAGE_SESSIONS_BYTES);
	(void)message_sessions_encode(&message, &payload);
	mux_accept(channel, NULL, 0);
	mux_send(channel, 0, buf_data(&payload), buf_length(&payload));
	mux_eof(channel);
	mux_close(channel);
}
