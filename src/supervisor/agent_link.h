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
	void (*stopped)(void *ctx);		      /* shut down: it will power off now */
	/* The link is of no more use; broken: the guest broke the protocol. */
	void (*lost)(void *ctx, bool broken, const char *why);
};

/* Owns fd. *configure is sent at each HELLO; it stays the caller's and must outlive the link. */
struct agent_link *agent_link_new(uv_loop_t *loop, int fd,
				  const struct message_configure *configure,
				  const struct agent_link_events *events, void *ctx);
void agent_link_free(struct agent_link *agent);

/* NULL until ready: for relay_start. */
struct mux *agent_link_mux(struct agent_link *agent);

/* Asks the guest to end its sessions, sync and power off. False when it cannot be asked. */
bool agent_link_shutdown(struct agent_link *agent);
