#pragma once
/*
 * The larger messages as structs, each with its encoder and decoder: what travels, in which order,
 * within which bounds. Strings are bytes without NUL. Decoders check every field and leave the
 * struct zero on failure; *_done frees what a decoder made.
 */
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define MESSAGE_ARGUMENTS_MAX 65536 /* argv and environment entries, each */
#define MESSAGE_PATH_MAX      4096
#define MESSAGE_NAME_MAX      255
#define MESSAGE_SHARES_MAX    16

/* Description of a PROTO_KIND_SESSION channel. */
struct message_session {
	bool tty;			       /* a pseudo-terminal, or three pipes */
	bool login;			       /* argv empty: the user's login shell */
	uint16_t rows, columns, width, height; /* with tty; width and height in pixels, may be 0 */
	char *user;			       /* "": the configured user; "root" */
	char *cwd;	    /* relative to the project directory; "": that itself */
	char **arguments;   /* NULL-terminated; empty: the user's shell */
	char **environment; /* NAME=VALUE, added to the guest's own */
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
};

int message_status_encode(const struct message_status *status, struct buf *buf);
int message_status_decode(struct message_status *ret_status, const void *bytes, size_t length,
			  struct err *err);
void message_status_done(struct message_status *status);
