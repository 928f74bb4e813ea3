#pragma once
/*
 * The supervisor's end of the agent port: waits for HELLO, configures the guest, shuts it down, and
 * opens channels in it. One per life of a machine.
 */
#include "base/err.h"
#include "wire/message.h"
#include "wire/mux.h"

#include <uv.h>

struct agent_link;

struct agent_link_events {
	void (*hello)(void *ctx,
		      const struct mux_hello *hello); /* the agent is up; it is being configured */
	void (*ready)(void *ctx);		      /* configured: sessions may be opened */
	void (*refused)(void *ctx, const char *text); /* configuring failed; text is the guest's */
	/* Asked to come to rest, it has (failure NULL), or says why not all is on its disk. Nothing
	 * is sent or heard on this link any more. */
	void (*at_rest)(void *ctx, const char *failure);
	void (*not_at_rest)(void *ctx); /* or it was restarted instead; `hello` follows */
	void (*stopped)(void *ctx);	/* shut down: it will power off now */
	void (*activity)(void *ctx, uint64_t cpu_us);
	/* The link is of no more use; broken: the guest broke the protocol. */
	void (*lost)(void *ctx, bool broken, const char *why);
};

/* Owns fd. *configure is sent at each HELLO; it stays the caller's and must outlive the link.
 * resumed: to the first one not, because that agent has been configured. */
struct agent_link *agent_link_new(uv_loop_t *loop, int fd,
				  const struct message_configure *configure, bool resumed,
				  const struct agent_link_events *events, void *ctx);
void agent_link_free(struct agent_link *agent);

/* NULL until ready: for relay_start. */
struct mux *agent_link_mux(struct agent_link *agent);

/* Asks the guest to write all to its disk and to come to rest; `at_rest` is the answer. False when
 * it cannot be asked. */
bool agent_link_quiesce(struct agent_link *agent);
/* The descriptor of a link that is at rest, for the next one; the link is freed. -1: there is none.
 * Not from inside an event. */
int agent_link_release(struct agent_link *agent);

/* Asks for the CPU time that sessions have used; `activity` is the answer. While there is none yet
 * it does not ask again: a guest that stands still would find the questions of hours, and nothing
 * else could be asked behind them. */
bool agent_link_ask_activity(struct agent_link *agent);

/* Asks the guest to end its sessions, sync and power off. False when it cannot be asked. */
bool agent_link_shutdown(struct agent_link *agent);
