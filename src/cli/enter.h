#pragma once
/*
 * The way into a project's VM: connect to its supervisor, or start one first. Two clients that come
 * at once get one supervisor; one that comes while another leaves waits for it.
 */
#include "base/err.h"
#include "cli/client.h"
#include "cli/progress.h"
#include "project/project.h"

/* How often it is tried again: each time has its reason in what somebody else does to the VM. */
#define ENTER_AGAIN_MAX 10

/* Connects to the running supervisor. ERR_NOT_FOUND: the VM is not running, or there is none. */
int enter_running(const struct project *project, struct client **ret_client, struct err *err);

/* Asks the VM something that changes nothing, and what is there then once more if that failed: a VM
 * that ends while it is asked is one that does not run. ERR_NOT_FOUND: it does not. */
typedef int enter_question(struct client *client, void *ctx, struct err *err);
int enter_ask(const struct project *project, enter_question *question, void *ctx, struct err *err);

/* Whether the next start would boot: it neither runs nor is it suspended. */
bool enter_is_cold(const struct project *project);

/* Connects, starting the VM if need be, and waits until the guest is ready, saying on standard
 * error what goes on. ERR_NOT_FOUND: the project has no VM. */
int enter_started(const struct project *project, enum progress_mode mode,
		  struct client **ret_client, struct err *err);

/* Enters and works with the guest; both from the beginning when `work` ends with ERR_AGAIN, because
 * the VM was about to be suspended or stopped. What work returns. */
int enter_and(const struct project *project, enum progress_mode mode,
	      int (*work)(struct client *client, void *ctx, struct err *err), void *ctx,
	      struct err *err);

/* The same as enter_started for a VM that is cold, which boots the system from before its present one. ERR_BUSY: it
 * runs or is suspended. */
int enter_previous(const struct project *project, enum progress_mode mode,
		   struct client **ret_client, struct err *err);

/* Asks for the end of the VM (PROTO_STOP, PROTO_SUSPEND), saying that `stage` goes on, and waits
 * until it and its supervisor are gone. */
int enter_end(const struct project *project, struct client *client, enum proto_what what,
	      const char *stage, enum progress_mode mode, struct err *err);

/* Waits until a guest that is started, or comes back, is ready, where that is somebody else's doing.
 * ERR_AGAIN: the VM ends instead. */
int enter_wait_ready(struct client *client, enum progress_mode mode, struct err *err);

/* Waits until the supervisor of that pid is gone: its lock is free, or another one has it. */
int enter_wait_gone(const struct project *project, pid_t pid, struct err *err);
