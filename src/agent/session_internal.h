#pragma once
/*
 * What the files of a session share: session.c its life, session_attach.c its life without a
 * client, session_io.c the bytes, session_spawn.c the child, session_note.c what that leaves for the
 * list. Nobody else includes this.
 */
#include "agent/ring.h"
#include "agent/session.h"
#include "agent/user.h"
#include "base/buf.h"
#include "base/terminal_modes.h"
#include "wire/message.h"

enum session_state {
	SESSION_DESCRIBING, /* its description is arriving */
	SESSION_STARTING,   /* forked; whether exec works is not known yet */
	SESSION_RUNNING,
};

struct session_output {
	struct loop_watch watch; /* the pty, or a pipe; fd -1: it has ended */
	struct session *session;
	uint8_t flags;	/* of its DATA frames */
	bool is_much;	/* it has filled its pipe */
	size_t backlog; /* once reaped: at most this much is still taken */
};

struct session {
	struct list link;
	struct sessions *all;
	struct mux_channel *channel; /* NULL: nobody is attached */
	enum proto_kind kind;	     /* ATTACH: it only lives until it knows which one is meant */
	enum session_state state;
	bool tty;

	uint32_t id; /* once it runs */
	enum proto_detach detach;
	uint64_t started_s;
	char *command;
	int note; /* what its program leaves there for the list, or -1 */
	/* While nobody was attached: only its last output and its status are left. The how manieth
	 * that did so; 0: it has not. */
	uint64_t ended;

	uint32_t announced; /* length of the description */
	struct buf description;
	struct message_window window; /* size of the terminal */

	pid_t pid; /* 0: none, or reaped */
	bool reaped;
	int wait_status;
	uint32_t early_signal; /* came before it ran */
	struct loop_watch report;
	int slave; /* our own descriptor of the terminal, so that it never hangs up by itself */

	struct session_output output[2];
	/* With a detach other than NEVER, what was read goes through here. */
	struct ring ring;
	uint64_t sent;	 /* position of what goes to the client next */
	uint64_t seen;	 /* of what it has no credit given for */
	uint32_t prefix; /* bytes ahead of that, not from the ring and without credit yet */
	struct terminal_modes modes;
	struct loop_watch input;
	struct buf in;
	size_t in_owed; /* bytes of `in` the peer has no credit for yet */
	bool in_eof;
	bool in_is_much; /* it has filled its pipe */
	bool in_line;	 /* the last byte written to the terminal was not a newline */
};

/* session.c */
/* The program has ended and all output is queued: EXIT, CLOSE, and the session is gone; or it is
 * kept until somebody attaches. */
void session_finish(struct session *session);
void session_free(struct session *session);
void session_reject(struct session *session, enum proto_reject code, const char *text);
/* The channel is the session's from now on, and is told so. */
void session_accept(struct session *session, struct mux_channel *channel);

/* session_attach.c */
/* Remembers what a list says of it. */
void session_describe(struct session *session, const struct message_session *wanted);
/* The client is lost: false if the session must end for that. */
bool session_detach(struct session *session);
/* The program has ended and nobody is attached. */
void session_keep(struct session *session);
/* Frees those that have ended, the one that did so first before others, until at most this many are
 * left. */
void sessions_forget_ended(struct sessions *sessions, uint32_t keep);
/* The description of a PROTO_KIND_ATTACH is there: its channel goes to who it names, and this one
 * is gone. */
void session_attach(struct session *asking);

/* session_io.c */
void session_io_init(struct session *session);
/* Registers the descriptors with the loop: the program runs. */
void session_io_start(struct session *session);
void session_io_done(struct session *session);
void session_io_input(struct session *session, const uint8_t *bytes, size_t length);
void session_io_input_eof(struct session *session);
/* Credit arrived, or the state changed. May finish the session: the last call on it. */
void session_io_advance(struct session *session);
void session_io_credited(struct session *session, uint32_t bytes);
/* There is a new client, which is to see what the one before has not seen for certain. */
void session_io_replay(struct session *session);
/* The program was reaped: what it wrote is taken, and then the session finishes. */
void session_io_reaped(struct session *session);

/* session_note.c */
/* Makes room for a note of the program that is wanted, if it is one that leaves any. */
int session_note_make(const struct message_session *wanted, int *ret_fd, struct err *err);
/* In the child, last of all: it is the program's descriptor now. */
bool session_note_give(int fd);
/* The environment the program has opened; FINGERPRINT_NONE: none. */
uint64_t session_note_read(const struct session *session);

/* session_spawn.c */
struct session_report {
	int failed_exec; /* else something before it */
	int error;	 /* errno */
	int exists;	 /* a file of that name is there */
};

/* Forks; fills pid, descriptors and report of the session. On failure the code for REJECT is in
 * *ret_code. */
int session_spawn(struct session *session, const struct message_session *wanted,
		  enum proto_reject *ret_code, struct err *err);

/* session_tty.c */
/* Makes the pair; the master becomes output and input of the session, the slave its `slave`. */
int session_tty_make(struct session *session, uid_t owner, struct err *err);
/* Gives the terminal the size in session->window. */
void session_tty_resize(const struct session *session);
/* The process group a signal goes to: the terminal's foreground group, else the program's own. */
pid_t session_foreground(const struct session *session);
