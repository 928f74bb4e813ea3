#pragma once
/*
 * A connection to the supervisor of a project's VM. Blocking calls for channel 0; a session drives
 * it itself from its own poll loop with client_interest and client_handle.
 *
 * The client uses poll(2), not libuv: its standard input may be a regular file, which epoll
 * refuses, and the terminal it shares with the shell must not be made non-blocking.
 */
#include "base/buf.h"
#include "base/err.h"
#include "wire/mux.h"

#include <stdbool.h>
#include <sys/types.h>

struct client;
struct progress;

/* Connects to the socket of the supervisor of that pid and waits for its HELLO. A supervisor that is
 * leaving closes before that: an error like any other, look again. One that says nothing: err->sys is
 * ETIMEDOUT. One that has no room for another client: ERR_BUSY, and it says so. */
int client_dial(const char *path, pid_t pid, struct client **ret_client, struct err *err);
void client_close(struct client *client);

static inline void cleanup_client(struct client **client)
{
	client_close(*client);
}
#define auto_client CLEANUP(cleanup_client)

/* Sends a request on channel 0 and waits for its reply, whose payload is appended to ret_payload
 * (may be NULL). ERR_GUEST with the other side's text when the answer is no, ERR_AGAIN when it is
 * not now. */
int client_call(struct client *client, enum proto_what what, struct buf *ret_payload,
		struct err *err);

/* Where PROGRESS and NOTE of the supervisor go from now on; NULL: nowhere. */
void client_report_to(struct client *client, struct progress *progress);
/* The last PROGRESS that went nowhere; NULL: there was none. It may hold any bytes but NUL. */
const char *client_stage(const struct client *client);

/* For a channel that ended without a word: waits for the supervisor to say why (a moment at most)
 * and makes an error of it: ERR_AGAIN if nothing was begun. Always -1. */
int client_explain_loss(struct client *client, struct err *err);

/* Whether the supervisor said that it is leaving, and why. */
bool client_was_sent_away(const struct client *client);
/* The last call, by the supervisor itself, be it with a failure. */
bool client_was_answered(const struct client *client);

/* Of the supervisor it is connected to. */
pid_t client_pid(const struct client *client);
struct mux *client_mux(struct client *client);
int client_fd(const struct client *client);
short client_interest(const struct client *client); /* POLLIN, POLLOUT */
/* Does what poll says can be done. -1 when the connection is of no more use. */
int client_handle(struct client *client, short revents, struct err *err);
