#pragma once
/*
 * Runs the share server: a process of its own (supervisor/share_server.h), because it parses what a
 * hostile guest sends and works on the user's files. Started with the share port and the shared
 * directories as inherited descriptors; started again when it dies, a few times.
 */
#include "base/err.h"
#include "project/project.h"
#include "project/share_list.h"
#include "supervisor/guest_config.h"

#include <uv.h>

#define SHARE_SERVER_COMMAND "serve-share"

struct share_link;

/* What the server is given; descriptors stay the caller's and must outlive the share_link. */
struct share_link_spec {
	int port_fd;  /* our end of the share port */
	int data_dir; /* hidden from the guest; keeps what the guest unlinked and still uses */
	const struct project *project;
	const struct share_list *further; /* served beside the project; opened at once */
	bool boot;			  /* and boot/ of the data directory */
	bool tools;			  /* or the programs for guests, read-only */
	const struct guest_ids *ids;
	int state_fd; /* memory of a server before (share_state.h) to go on with; -1: there is none
		       */
};

/* `failed` is called when the server died too often to be started again. */
int share_link_start(uv_loop_t *loop, const struct share_link_spec *spec,
		     void (*failed)(void *ctx, const char *text), void *ctx,
		     struct share_link **ret_share, struct err *err);
/* Asks that no request be under way and the state be complete; `quiet` follows, after two seconds
 * at most: a guest that does not answer sends again what was under way. */
void share_link_quiesce(struct share_link *share, void (*quiet)(void *ctx), void *ctx);
/* Lets requests go on. */
void share_link_resume(struct share_link *share);
/* The memory of the server, under another descriptor: the caller's. */
int share_link_state(const struct share_link *share, int *ret_fd, struct err *err);
void share_link_free(struct share_link *share);
