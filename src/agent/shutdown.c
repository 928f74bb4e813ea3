/*
 * Theory of operation. A row of phases, each left when its condition holds or its time is over:
 *
 *	TERM     SIGHUP to the sessions, SIGTERM to everybody      all gone, or TERM_MS
 *	KILL     SIGKILL to everybody                              all gone, or KILL_MS
 *	UNMOUNT  (PID 1) unmount, sync, read-only, in a worker     done, or until UNMOUNT_UNTIL_MS
 *	REMOUNT  the kernel's emergency remount, which asks nobody done, or REMOUNT_MS
 *
 * The host waits 20 s for all of it. A disk may be slow: what the processes did not need of that,
 * unmounting has. A worker that hangs in a dead file system is left behind.
 */
#include "agent/shutdown.h"

#include "agent/mounts.h"
#include "agent/worker.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/reboot.h>

#define TERM_MS		 6000
#define KILL_MS		 2000
#define UNMOUNT_UNTIL_MS 16000 /* since the beginning */
#define REMOUNT_MS	 2000

enum phase {
	PHASE_TERM,
	PHASE_KILL,
	PHASE_UNMOUNT,
	PHASE_REMOUNT,
	PHASE_DONE,
};

struct shutdown {
	struct loop *loop;
	struct loop_timer limit;
	struct loop_timer unmount_limit;
	struct sessions *sessions;
	enum agent_mode mode;
	enum phase phase;
	void (*done)(void *ctx);
	void *ctx;
};

static void signal_all(const struct shutdown *shutdown, int number)
{
	if (shutdown->mode == AGENT_INIT)
		(void)kill(-1, number);
	else
		sessions_signal(shutdown->sessions, number);
}

static void finish(struct shutdown *shutdown)
{
	if (shutdown->phase == PHASE_DONE)
		return;
	shutdown->phase = PHASE_DONE;
	loop_timer_stop(&shutdown->limit);
	loop_timer_stop(&shutdown->unmount_limit);
	shutdown->done(shutdown->ctx);
}

static void unmount_work(void *arg)
{
	(void)arg;
	mounts_end_all();
}

static void unmount_done(void *arg)
{
	finish(arg);
}

static void enter_unmount(struct shutdown *shutdown)
{
	struct err err = ERR_INIT;

	shutdown->phase = PHASE_UNMOUNT;
	loop_timer_stop(&shutdown->limit);
	if (shutdown->mode != AGENT_INIT) {
		finish(shutdown);
		return;
	}
	if (worker_run(shutdown->loop, unmount_work, unmount_done, shutdown, &err) < 0) {
		log_error("shutdown", "%s", err.text);
		mounts_end_all();
		finish(shutdown);
	}
}

static void on_limit(struct loop_timer *timer)
{
	struct shutdown *shutdown = list_entry(timer, struct shutdown, limit);

	switch (shutdown->phase) {
	case PHASE_TERM:
		log_warn("shutdown", "some processes ignore SIGTERM: killing them");
		shutdown->phase = PHASE_KILL;
		signal_all(shutdown, SIGKILL);
		loop_timer_start(shutdown->loop, timer, KILL_MS);
		break;
	case PHASE_KILL:
		log_warn("shutdown", "some processes cannot be killed: going on without them");
		enter_unmount(shutdown);
		break;
	case PHASE_REMOUNT:
		finish(shutdown);
		break;
	case PHASE_UNMOUNT:
	case PHASE_DONE:
		break;
	}
}

static void on_unmount_limit(struct loop_timer *timer)
{
	struct shutdown *shutdown = list_entry(timer, struct shutdown, unmount_limit);

	log_error("shutdown", "a file system does not come to rest");
	shutdown->phase = PHASE_REMOUNT;
	mounts_emergency();
	loop_timer_start(shutdown->loop, &shutdown->limit, REMOUNT_MS);
}

void shutdown_alone(struct shutdown *shutdown)
{
	if (shutdown->phase == PHASE_TERM || shutdown->phase == PHASE_KILL)
		enter_unmount(shutdown);
}

struct shutdown *shutdown_start(struct loop *loop, struct sessions *sessions, enum agent_mode mode,
				void (*done)(void *ctx), void *ctx)
{
	struct shutdown *shutdown = xcalloc(1, sizeof(*shutdown));

	*shutdown = (struct shutdown){
	    .loop = loop, .sessions = sessions, .mode = mode, .done = done, .ctx = ctx};
	loop_timer_init(&shutdown->limit);
	shutdown->limit.fire = on_limit;
	log_info("shutdown", "ending all processes");
	sessions_signal(sessions, SIGHUP);
	signal_all(shutdown, SIGTERM);
	signal_all(shutdown, SIGCONT); /* a stopped process sees SIGTERM only when it goes on */
	loop_timer_start(loop, &shutdown->limit, TERM_MS);
	loop_timer_init(&shutdown->unmount_limit);
	shutdown->unmount_limit.fire = on_unmount_limit;
	if (mode == AGENT_INIT)
		loop_timer_start(loop, &shutdown->unmount_limit, UNMOUNT_UNTIL_MS);
	return shutdown;
}

void shutdown_free(struct shutdown *shutdown)
{
	if (!shutdown)
		return;
	loop_timer_stop(&shutdown->limit);
	loop_timer_stop(&shutdown->unmount_limit);
	free(shutdown);
}

void shutdown_power_off(void)
{
	char *const arguments[] = {(char[]){"poweroff"}, NULL};
	const struct spawn spawn = {.program = arguments[0], .arguments = arguments};
	struct err err = ERR_INIT;

	if (getpid() == 1) {
		(void)reboot(RB_POWER_OFF);
		log_error("shutdown", "the machine cannot be switched off");
	} else if (spawn_start(&spawn, &err) < 0) {
		log_error("shutdown", "%s", err.text);
	}
}
