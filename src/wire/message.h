#pragma once
/*
 * The larger messages as structs, each with its encoder and decoder: what travels, in which order,
 * within which bounds. Strings are bytes without NUL. Decoders check every field and leave the
 * struct zero on failure; *_done frees what a decoder made.
 */
#include "base/buf.h"
#include "base/err.h"
#include "wire/proto.h"

#include <stdbool.h>
#include <stdint.h>

#define MESSAGE_ARGUMENTS_MAX 65536 /* argv and environment entries, each */
#define MESSAGE_PATH_MAX      4096
#define MESSAGE_NAME_MAX      255
#define MESSAGE_SHARES_MAX    16
#define MESSAGE_COMMAND_MAX   120 /* of a session in a list: its beginning */
#define MESSAGE_SESSIONS_MAX  256
/* An upper bound for struct message_sessions on the wire. */
#define MESSAGE_SESSIONS_BYTES (4 + MESSAGE_SESSIONS_MAX * (40 + MESSAGE_COMMAND_MAX))

/* Description of a PROTO_KIND_SESSION channel. */
struct message_session {
	bool tty;			       /* a pseudo-terminal, or three pipes */
	bool login;			       /* argv empty: the user's login shell */
	uint16_t rows, columns, width, height; /* with tty; width and height in pixels, may be 0 */
	char *user;			       /* "": the configured user; "root" */
	char *cwd;		  /* relative to the project directory; "": that itself */
	char **arguments;	  /* NULL-terminated; empty: the user's shell */
	char **environment;	  /* NAME=VALUE, added to the guest's own */
	enum proto_detach detach; /* behind all others; not sent when NEVER */
};

int message_session_encode(const struct message_session *session, struct buf *buf);
int message_session_decode(struct message_session *ret_session, const void *bytes, size_t length,
			   struct err *err);
void message_session_done(struct message_session *session);

struct message_window {
	uint16_t rows, columns, width, height;
};
int message_window_encode(const struct message_window *window, struct buf *buf);
int message_window_decode(struct message_window *ret_window, const void *bytes, size_t length,
			  struct err *err);

/* Description of a PROTO_KIND_ATTACH channel. */
struct message_attach {
	uint32_t id;
	struct message_window window; /* of the terminal it is shown on from now on */
	bool take;		      /* also from a client that is attached to it */
};
#define MESSAGE_ATTACH_BYTES 13
int message_attach_encode(const struct message_attach *attach, struct buf *buf);
int message_attach_decode(struct message_attach *ret_attach, const void *bytes, size_t length,
			  struct err *err);

/* What the agent tells of one session. */
struct message_listed {
	uint64_t started_s; /* since 1970, by the guest's clock */
	char *command;	    /* its arguments, joined; "": a login shell */
	uint32_t id;	    /* of this life of the guest; never used twice */
	enum proto_session_state state;
	enum proto_detach detach;
	enum proto_exit how; /* with PROTO_SESSION_ENDED, as in EXIT */
	uint32_t value;
	uint16_t rows, columns;
	/* Of the environment it was opened with (base/fingerprint.h); 0: of none that is known. */
	uint64_t environment;
};

/* All that PROTO_KIND_LIST answers. */
struct message_sessions {
	struct message_listed *listed;
	uint32_t count;
};
int message_sessions_encode(const struct message_sessions *sessions, struct buf *buf);
int message_sessions_decode(struct message_sessions *ret_sessions, const void *bytes, size_t length,
			    struct err *err);
/* Whether a list has what lists need not have: the environments. */
bool message_sessions_tell_environments(const struct message_sessions *sessions);
void message_sessions_done(struct message_sessions *sessions);

/* Description of a PROTO_KIND_PROGRAM channel. */
struct message_program {
	char *name;	 /* "dxvm-agent", "dxvm-devbox" */
	uint32_t length; /* 1 to PROTO_PROGRAM_MAX */
	uint8_t sha256[32];
};
/* An upper bound for it on the wire. */
#define MESSAGE_PROGRAM_BYTES (4 + MESSAGE_NAME_MAX + 4 + 32)
int message_program_encode(const struct message_program *program, struct buf *buf);
int message_program_decode(struct message_program *ret_program, const void *bytes, size_t length,
			   struct err *err);
void message_program_done(struct message_program *program);

/* A directory of the host's, served on the share port, and where it goes in the guest. */
struct message_share {
	uint32_t number; /* channel on the share port */
	char *path;	 /* absolute, in the guest */
	char *alias;	 /* "", or a second path that resolves to it (the host's own) */
	char *local;	 /* "", or the directory inside it that is guest-local (".devbox") */
	bool read_only;
};

/* Payload of PROTO_CONFIGURE: who and where the guest is. Applied at every boot. */
struct message_configure {
	char *hostname;
	char *user; /* the guest user's name, uid and gid (research: equal to the host's) */
	uint32_t uid, gid;
	char *shell;	/* "" : /bin/bash, else /bin/sh */
	char *timezone; /* "Europe/Berlin", "" = UTC */
	uint8_t machine_id[16];
	uint8_t entropy[32]; /* fresh random bytes of the host */
	uint64_t time_ns;    /* wall clock, since 1970 */
	char *project;	     /* guest path sessions start in */
	bool network;	     /* configure eth0 for QEMU's user network */
	struct message_share shares[MESSAGE_SHARES_MAX];
	uint32_t share_count;
};

int message_configure_encode(const struct message_configure *configure, struct buf *buf);
int message_configure_decode(struct message_configure *ret_configure, const void *bytes,
			     size_t length, struct err *err);
void message_configure_done(struct message_configure *configure);

/* Payload of a reply to PROTO_STATUS. */
struct message_status {
	char *state;	    /* "starting", "running", "stopping" */
	char *guest;	    /* "debian", "tiny" */
	char *accelerator;  /* "kvm", "tcg", "none" */
	uint64_t uptime_ms; /* of the VM */
	uint64_t memory_bytes;
	uint64_t resident_bytes; /* what the guest's RAM costs the host now */
	uint32_t cpus;
	uint32_t sessions;
	uint32_t supervisor_pid, machine_pid; /* 0: none */
	uint64_t boot_ms;		      /* start of the machine to the guest being ready */
	uint32_t idle_s; /* without use until it is suspended; 0: never (also from those who do not
			    say it) */
	bool kept;	 /* PROTO_KEEP holds */
};

int message_status_encode(const struct message_status *status, struct buf *buf);
int message_status_decode(struct message_status *ret_status, const void *bytes, size_t length,
			  struct err *err);
void message_status_done(struct message_status *status);
