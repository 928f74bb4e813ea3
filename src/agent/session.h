#pragma once
/*
 * Sessions: programs started for a channel, with a terminal of their own or with three pipes. The
 * set of them belongs to the agent; each session belongs to the set and ends by itself: when its
 * program has ended and its output is on its way, or when its client is lost. One that may be
 * detached goes on without a client then, and can be attached to.
 *
 * Bounds: SESSION_COUNT_MAX at once, SESSION_DESCRIPTIONS_MAX bytes of descriptions being received;
 * each session holds at most one window of input, and reads output only when there is credit, or
 * into a ring (agent/ring.h) that forgets the oldest. SESSION_ENDED_MAX that ended detached are
 * kept for somebody to see their end.
 */
#include "agent/loop.h"
#include "agent/nix.h"
#include "wire/mux.h"

#include <signal.h>
#include <sys/types.h>

#define SESSION_COUNT_MAX	 128
#define SESSION_ENDED_MAX	 16
#define SESSION_DESCRIPTIONS_MAX ((size_t)16 << 20)

struct sessions {
	struct loop *loop;
	struct list list;
	uint32_t count;
	uint32_t last_id;
	uint64_t last_ended;
	size_t descriptions; /* bytes announced by sessions not yet started */
	bool as_self;	     /* all run as whoever runs the agent (--fake) */
	char *user;	     /* the guest user's name; NULL: not configured yet, none is taken */
	char *project;	     /* where they start */
	struct nix_sources nix;
	int cgroup;	  /* the directory of the one they are started in, or -1 */
	sigset_t ignored; /* by the agent, and not by them */
	bool is_spared;	  /* by the kernel when memory is short, as they are not */
	bool stopping;	  /* none is taken any more */
};

void sessions_init(struct sessions *sessions, struct loop *loop);
/* Ends all, closes, frees. */
void sessions_done(struct sessions *sessions);

/* Takes a channel of PROTO_KIND_SESSION or PROTO_KIND_ATTACH from the mux's open event. */
void session_open(struct sessions *sessions, struct mux_channel *channel, enum proto_kind kind,
		  uint32_t length);
/* Answers one of PROTO_KIND_LIST. */
void sessions_list(const struct sessions *sessions, struct mux_channel *channel);

/* A child of the agent's was reaped; most are none of ours. */
void session_reaped(struct sessions *sessions, pid_t pid, int wait_status);

/* To the process group of each; their output and status still arrive. */
void sessions_signal(struct sessions *sessions, int number);
