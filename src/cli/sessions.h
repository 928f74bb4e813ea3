#pragma once
/*
 * The sessions that are there in a VM: the list of them, and coming back to one.
 */
#include "cli/client.h"
#include "wire/message.h"

#include <stdio.h>

/* The caller's, for message_sessions_done. An agent of a version that knows no lists has none. */
int sessions_fetch(struct client *client, struct message_sessions *ret_sessions, struct err *err);

/* A line each, those only that can be attached to if so wanted. */
void sessions_print(const struct message_sessions *sessions, bool only_left, FILE *out);

/* Attaches to the one detached shell there is, and says so unless `quiet`: its exit status. None:
 * *ret_none, and a line about those whose environment is not that of a new one. Several: a list of
 * them, and an error that says what to do. */
struct sessions_enter {
	uint64_t environment; /* what devbox.json and devbox.lock have now (base/fingerprint.h) */
	bool quiet;
};
int sessions_return(struct client *client, const struct sessions_enter *enter, bool *ret_none,
		    struct err *err);

/* One line, if devbox.json or devbox.lock are not what they were when this session started. */
void sessions_say_changed(const struct message_sessions *sessions, uint32_t id,
			  uint64_t environment);

/* How it is called: what was typed for it. The caller's, and safe to print. */
char *sessions_name(const struct message_listed *listed);
