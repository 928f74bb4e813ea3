#pragma once
/*
 * Runs the share server: a process of its own (`dxvm serve-share`), because it parses what a
 * hostile guest sends and works on the user's files. Started with the share port and the project
 * directory as inherited descriptors; started again when it dies, up to a limit.
 */
#include "base/err.h"
#include "project/project.h"
#include "supervisor/guest_config.h"

#include <uv.h>

struct share_link;

/* port_fd stays the caller's and must outlive the share_link. `failed` is called when the server
 * died too often to be started again. */
int share_link_start(uv_loop_t *loop, int port_fd, const struct project *project,
		     const struct guest_ids *ids, void (*failed)(void *ctx, const char *text),
		     void *ctx, struct share_link **ret_share, struct err *err);
void share_link_free(struct share_link *share);
