#pragma once
/*
 * The control socket: listens, checks that a client is the same user, gives each client a mux, and
 * answers what they ask on channel 0. Sessions are relayed to the agent. The supervisor's state is
 * reached through struct control_host, so that this file knows nothing of machines.
 */
#include "base/err.h"
#include "wire/message.h"
#include "wire/mux.h"

#include <uv.h>

struct control;

/* What the control socket asks of its owner. */
struct control_host {
	void (*status)(void *ctx,
		       struct message_status *ret_status); /* strings made for the caller */
	void (*stop)(void *ctx); /* begin an orderly stop, or nothing if it runs already */
	/* Begin to suspend it; an error when that is not possible, ERR_AGAIN: now. */
	int (*suspend)(void *ctx, struct err *err);
	void (*keep)(void *ctx, bool on);
	void (*wanted)(void *ctx);	 /* a client waits for the guest */
	struct mux *(*agent)(void *ctx); /* where sessions go; NULL when the guest is not ready */
};

/* Opens the door <dir>/<name>.sock (supervisor/door.h); `moved` tells where it is, at once and
 * whenever that changes. */
int control_open(uv_loop_t *loop, const char *dir, const char *name,
		 const struct control_host *host,
		 int (*moved)(void *ctx, const char *path, struct err *err), void *ctx,
		 struct control **ret_control, struct err *err);

/* Tells every client that waits for the guest what goes on. */
void control_progress(struct control *control, const char *text);
/* The same for a line that a person should read; clients that come later see the last few too. */
void control_note(struct control *control, const char *text);
/* Answers every client that waits for the guest, now and from now on: ready (text NULL), or why
 * not. */
void control_ready(struct control *control, const char *failure);
/* The same when the VM ends as it should: who still waits may ask the next one. */
void control_leaving(struct control *control, const char *text);
/* The same before it does; who has a session hears it, too, which ends with the VM. */
void control_stopping(struct control *control, const char *text);
/* An agent that was restarted is set up anew: who asks from now on waits. */
void control_not_ready(struct control *control);
/* How it became ready: as the guest it was before a suspend, or booted. */
void control_resumed(struct control *control, bool resumed);
/* Answers those that wait for a suspend, which failed; the guest goes on. */
void control_suspend_failed(struct control *control, const char *text);
/* And those that wait for a stop: the VM ends, but not as they asked. */
void control_failed(struct control *control, const char *text);
/* Clients connected now, whatever they do. */
size_t control_client_count(const struct control *control);
/* The same end for those alone that were let in to the guest, not for those that wait. Whoever has
 * not begun anything there is told to come again. */
void control_turn_out(struct control *control, const char *text);
/* Tells every client that the guest is gone and why; their connections end. */
void control_goaway(struct control *control, const char *text);
/* Answers those that wait for the stop or the suspend, takes no new clients, and calls `drained`
 * when every answer was written or `limit_ms` have passed. */
void control_finish(struct control *control, uint64_t limit_ms, void (*drained)(void *ctx));
/* Sessions open now, of all clients. */
uint32_t control_session_count(const struct control *control);
/* Whether any client ever waited for the guest, and so can have heard of a failure. */
bool control_was_heard(const struct control *control);
/* Removes the socket. No call into it afterwards but control_free. */
void control_free(struct control *control);
