#pragma once
/*
 * The supervisor's one object, and what its parts do for each other:
 *
 *	supervisor.c	the process: what it loads, opens, watches and frees
 *	lifecycle.c	start, set-up, stop and end
 *	suspend.c	from running to memory without a machine, and to disk
 *	idle.c		when nobody needs it
 *	resume.c	from disk, or from memory, to running
 *
 * For these files alone.
 */
#include "project/identity.h"
#include "project/project.h"
#include "project/settings.h"
#include "project/share_list.h"
#include "supervisor/agent_link.h"
#include "supervisor/control.h"
#include "supervisor/guest_config.h"
#include "supervisor/machine.h"
#include "supervisor/saved_state.h"
#include "supervisor/share_link.h"
#include "vm/vm.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define POWER_LIMIT_MS	5000  /* after the power button; then the machine is killed */
#define ANSWER_LIMIT_MS 30000 /* of an agent that goes on, to its new HELLO and what follows */

enum state {
	STATE_STARTING,
	STATE_CONFIGURING,
	STATE_READY,
	STATE_SUSPENDING, /* the guest comes to rest, its machine's state is taken out */
	STATE_SAVING,	  /* no machine any more; its memory is copied to disk */
	STATE_STOPPING,
	STATE_GONE,
	STATE_COUNT,
};

/* Of a VM that is being suspended or resumed. */
struct suspend {
	int ram_fd;    /* the guest's memory while no machine has it, or -1 */
	int state_fd;  /* memory with the state of its devices, or -1 */
	int share_fd;  /* the same of the share server, or -1 */
	int agent_fd;  /* the agent's port while the agent is at rest, or -1 */
	bool taken;    /* ram_fd and state_fd are a whole guest */
	bool on_disk;  /* and are in saved/, too */
	bool found;    /* the manifest is that of a saved state */
	bool wanted;   /* somebody came meanwhile: go on from memory */
	bool stop;     /* somebody wants it stopped instead: as soon as it runs again */
	bool leaving;  /* we were told to go: who comes is not let in */
	bool resuming; /* the machine of now goes on as the one before */
	bool loading;  /* and has been told to load the state */
	bool going;    /* and its guest to go on */
	bool unseen;   /* its failure is no fault of the state's */
	bool working;  /* a worker is running */
	uv_work_t work;
	atomic_bool cancel;
	int result; /* of the worker */
	struct err err;
	char *failure; /* why resuming failed; NULL: it did not */
	char *machine; /* what is run: its command line, one argument a line */
	uint64_t began_ms;
	struct saved_manifest manifest;
	int old_ram_fd;	   /* the file that was resumed from and has no name any more, or -1 */
	uv_timer_t let_go; /* of it */
};

/* Since when nobody and nothing uses the guest (idle.c). */
struct idle {
	uv_timer_t timer;
	uint64_t since_ms;
	uint64_t asked_ms; /* when its use of the processor was last known */
	uint64_t cpu_us;   /* and what it was */
	bool known;
	bool kept; /* somebody wants it to run on all the same */
};

struct supervisor {
	uv_loop_t loop;
	enum state state;
	struct project project;
	struct identity identity;
	struct settings settings;
	struct share_list shares; /* besides the project */
	struct message_configure configure;
	struct guest_ids ids;
	struct machine machine;
	struct vm *vm;
	struct agent_link *agent;
	struct share_link *share;
	struct control *control;
	uv_timer_t limit; /* of the state we are in */
	uv_signal_t signals[3];
	uint64_t started_ms; /* loop time */
	uint64_t ready_ms;   /* when this machine's guest was first ready; 0: it was not yet */
	struct suspend suspend;
	struct idle idle;
	uint8_t boot_nonce[16]; /* of the agent's HELLO */
	char *agent_loss;	/* why the agent's link went down */
	bool previous;		/* boot the system before the present one */
	bool tried_tcg;		/* fell back from KVM once */
	bool tried_again;	/* started a guest anew that panicked while it started */
	int data_dir;
};

/* lifecycle.c */
void supervisor_set_state(struct supervisor *s, enum state state);
/* Calls `then` if the state is not left in time. */
void supervisor_set_limit(struct supervisor *s, uint64_t ms, uv_timer_cb then);
/* Starts a machine: resumes it where that is possible. */
int lifecycle_start(struct supervisor *s, struct err *err);
void lifecycle_link_agent(struct supervisor *s, int fd, bool resumed);
int lifecycle_start_share(struct supervisor *s, int state_fd, struct err *err);
/* What belonged to the machine that is gone. */
void lifecycle_drop_machine(struct supervisor *s);
/* Why the guest stands still, or NULL. What it has to write is lost if it ends like that. */
const char *lifecycle_paused(const struct supervisor *s);
/* The guest is of no use: ends it and says why to everybody. */
void lifecycle_give_up(struct supervisor *s, const char *why);
/* The machine is gone for good. failure: NULL when that was wanted; text: what clients that wait
 * for the guest are told then. */
void lifecycle_finish(struct supervisor *s, const char *failure, const char *text);
extern const struct control_host lifecycle_control_host;

/* suspend.c */
void suspend_init(struct supervisor *s);
void suspend_done(struct supervisor *s);
/* ERR_UNSUPPORTED, ERR_AGAIN: not this VM, not now. */
int suspend_begin(struct supervisor *s, struct err *err);
/* Somebody wants the guest, whatever state it is in. */
void suspend_wanted(struct supervisor *s);
void suspend_at_rest(struct supervisor *s, const char *failure);
/* The guest is ready: does what was wanted of it meanwhile. True: it ends again. */
bool suspend_ready(struct supervisor *s);
void suspend_saved(void *ctx, const struct err *failure);
/* The guest stands still, because the host's disk is full. */
void suspend_stalled(struct supervisor *s);
/* The machine is gone in STATE_SUSPENDING. False: it was not us. */
bool suspend_gone(struct supervisor *s);
/* No machine goes on from what was taken, suspend.failure says why: it goes to disk, if it is not
 * there, to stay. */
void suspend_keep(struct supervisor *s);

/* stop.c */
/* As asked by a client, a signal, or a suspend that must not be. */
void stop_begin(struct supervisor *s);
/* In STATE_STOPPING, without the agent: a guest that was ready has something to lose. */
void stop_guest(struct supervisor *s);
/* The agent has ended what it can. */
void stop_agent_done(struct supervisor *s);
/* A guest that was paused goes on. */
void stop_room(struct supervisor *s);

/* resume.c */
/* Before a machine is prepared: the accelerator of the one that may go on; NULL: there is none. Here
 * and in the next a failure is the host's: what is there stays. */
int resume_look(struct supervisor *s, const enum vm_accel **ret_accel, struct err *err);
/* Whether the machine that was prepared is to go on from memory or disk. Says why not if there was
 * something. */
int resume_prepare(struct supervisor *s, bool *ret_resuming, struct err *err);
/* It was started. */
int resume_started(struct supervisor *s, struct err *err);
void resume_loaded(void *ctx, const struct err *failure);
/* The room on disk is needed: what was resumed from is freed now, not later. */
void resume_let_go(struct supervisor *s);
/* The agent says who it is; then that the guest is ready. */
void resume_hello(struct supervisor *s, const struct mux_hello *hello);
void resume_ready(struct supervisor *s);
/* Not like this: ends the machine, and boots; but from memory that no guest has changed it is saved. */
void resume_failed(struct supervisor *s, const char *why);
/* The host is in the way of a guest that has not gone on yet: ends the machine, and what was saved
 * stays. False: there is none. */
bool resume_hindered(struct supervisor *s, const char *why);
/* The machine is gone while it was resumed: boots, or what was saved stays. False: it was not resumed.
 */
bool resume_gone(struct supervisor *s, const struct vm_exit *exit);
/* Makes an error of the host's one that says what is left and what ends that. Always -1. */
int resume_stays(struct err *err);
/* The end, with suspend.failure: the state is on disk and whole. */
void resume_stay(struct supervisor *s);

/* idle.c */
void idle_init(struct supervisor *s);
void idle_activity(void *ctx, uint64_t cpu_us);
void idle_keep(struct supervisor *s, bool on);
/* Suspending did not work: not again so soon. */
void idle_put_off(struct supervisor *s);
