/*
 * Theory of operation. One loop, one thread; what may block (configuring, syncing, unmounting) is
 * done by workers, one at a time, and answered when they are done, unless the link was replaced
 * meanwhile.
 *
 * Before a suspend the link comes to rest: what is asked is answered with GOAWAY behind it, and
 * when that is written and the host has said GOAWAY, too, nothing is said until it speaks again.
 *
 * All children are reaped in one place, whoever they are: sessions know their pids, everybody else
 * is an orphan that PID 1 inherited. That there is no child left is how a shutdown knows that all
 * processes are gone, since all of them descend from us.
 */
#include "agent/agent.h"

#include "agent/hello.h"
#include "agent/identity.h"
#include "agent/link.h"
#include "agent/loop.h"
#include "agent/provision.h"
#include "agent/session.h"
#include "agent/shares.h"
#include "agent/shutdown.h"
#include "agent/update.h"
#include "agent/worker.h"
#include "base/log.h"
#include "base/mem.h"
#include "wire/msg.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define FAREWELL_MS  1000
#define CONFIGURE_MS 60000 /* a first boot under emulation takes a few seconds */

struct job;

struct agent {
	const struct options *options;
	const char *boot_error;
	struct loop *loop;
	struct link *link;
	struct sessions sessions;
	struct shares shares; /* the worker's while one is running */
	struct updates updates;
	struct shutdown *shutdown; /* NULL: none is going on */
	uint32_t shutdown_id;	   /* of the request to be answered, 0: none */
	struct loop_timer farewell;
	bool ended;   /* shut down: leaves when the last words are written */
	bool replied; /* which are the answer to the request, behind what sessions had to say */
	bool late;    /* or when it took too long to write them */
	bool busy;    /* a worker is running */
	struct loop_timer patience;
	struct job *configuring; /* whose answer is still waited for */
	bool said_goaway;	 /* to be at rest for a suspend */
	bool heard_goaway;
	int status;
};

/* A request served by a worker. */
struct job {
	struct agent *agent;
	uint32_t id;
	uint32_t generation;
	bool configures; /* else it syncs */
	bool quiesces;	 /* and then the link comes to rest */
	bool answered;	 /* with the news that it takes too long */
	struct message_configure configure;
	struct nix_sources nix;
	struct err err;
};

/* All children that have ended, each exactly once. */
static void reap(struct agent *agent)
{
	int wait_status;
	pid_t pid;

	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
		session_reaped(&agent->sessions, pid, wait_status);
	if (pid < 0 && errno == ECHILD && agent->shutdown)
		shutdown_alone(agent->shutdown);
}

static void reply(struct agent *agent, uint32_t id, enum proto_reject code, const char *text)
{
	struct mux *mux = link_mux(agent->link);
	size_t length = code == PROTO_OK ? 0 : strlen(text);

	if (code != PROTO_OK)
		log_error("agent", "%s", text);
	if (id != 0 && mux)
		(void)mux_reply(mux, id, code, text,
				length < PROTO_TEXT_MAX ? length : PROTO_TEXT_MAX);
}

static void come_to_rest(struct agent *agent)
{
	struct mux *mux = link_mux(agent->link);

	if (!mux)
		return;
	mux_goaway(mux, PROTO_OK, "at rest");
	agent->said_goaway = true;
}

static void job_work(void *arg)
{
	struct job *job = arg;

	if (!job->configures)
		sync();
	else if (job->agent->boot_error)
		(void)err_set(&job->err, ERR_SYSTEM, "%s", job->agent->boot_error);
	else
		(void)provision(&job->configure, job->agent->options->mode, &job->agent->shares,
				&job->nix, &job->err);
}

static void take_configuration(struct sessions *sessions, struct message_configure *configure)
{
	free(sessions->user);
	free(sessions->project);
	sessions->user = take_ptr(&configure->user);
	sessions->project = take_ptr(&configure->project);
}

static void job_done(void *arg)
{
	struct job *job = arg;
	struct agent *agent = job->agent;

	agent->busy = false;
	loop_timer_stop(&agent->patience);
	if (job->configures && job->err.code == ERR_NONE) {
		take_configuration(&agent->sessions, &job->configure);
		nix_sources_done(&agent->sessions.nix);
		agent->sessions.nix = job->nix;
		if (agent->sessions.cgroup < 0)
			agent->sessions.cgroup = provision_open_cgroup();
	}
	if (!job->answered && job->generation == link_generation(agent->link))
		reply(agent, job->id, job->err.code == ERR_NONE ? PROTO_OK : PROTO_FAILED,
		      job->err.text);
	if (job->quiesces && job->generation == link_generation(agent->link))
		come_to_rest(agent);
	if (job->configures)
		message_configure_done(&job->configure);
	free(job);
}

/* The worker may come back yet: then sessions find a guest that is set up after all. */
static void on_impatient(struct loop_timer *timer)
{
	struct agent *agent = list_entry(timer, struct agent, patience);
	struct job *job = agent->configuring;

	job->answered = true;
	if (job->generation == link_generation(agent->link))
		reply(agent, job->id, PROTO_FAILED,
		      "the guest is not set up after a minute; most likely the host does not serve "
		      "the project's directory to it");
}

static void start_job(struct agent *agent, struct job *job)
{
	struct err err = ERR_INIT;

	job->agent = agent;
	job->generation = link_generation(agent->link);
	if (worker_run(agent->loop, job_work, job_done, job, &err) == 0) {
		agent->busy = true;
		agent->configuring = job;
		if (job->configures)
			loop_timer_start(agent->loop, &agent->patience, CONFIGURE_MS);
		return;
	}
	reply(agent, job->id, PROTO_NO_RESOURCES, err.text);
	if (job->quiesces)
		come_to_rest(agent);
	if (job->configures)
		message_configure_done(&job->configure);
	free(job);
}

static void configure(struct agent *agent, uint32_t id, const uint8_t *payload, size_t length)
{
	auto_free struct job *job = xcalloc(1, sizeof(*job));
	struct err err = ERR_INIT;

	job->id = id;
	job->configures = true;
	if (message_configure_decode(&job->configure, payload, length, &err) < 0) {
		reply(agent, id, PROTO_BAD_REQUEST, err.text);
		return;
	}
	if (agent->options->mode == AGENT_FAKE) {
		if (agent->options->project) {
			free(job->configure.project);
			job->configure.project = xstrdup(agent->options->project);
		}
		take_configuration(&agent->sessions, &job->configure);
		message_configure_done(&job->configure);
		reply(agent, id, PROTO_OK, NULL);
		return;
	}
	start_job(agent, take_ptr(&job));
}

static void on_late(struct loop_timer *timer)
{
	struct agent *agent = list_entry(timer, struct agent, farewell);

	agent->late = true;
}

static void on_shutdown_done(void *ctx)
{
	struct agent *agent = ctx;

	agent->ended = true;
	loop_timer_start(agent->loop, &agent->farewell, FAREWELL_MS);
}

static void shut_down(struct agent *agent, uint32_t id)
{
	if (id != 0)
		agent->shutdown_id = id;
	if (agent->shutdown)
		return;
	agent->sessions.stopping = true;
	agent->shutdown = shutdown_start(agent->loop, &agent->sessions, agent->options->mode,
					 on_shutdown_done, agent);
	reap(agent);
}

/* The guest stood still for a while, and perhaps another one goes on from the same memory. */
static void resumed(struct agent *agent, uint32_t id, const uint8_t *payload, size_t length)
{
	struct message_configure configure = {.uid = 0};
	struct msg_reader reader;
	struct err err = ERR_INIT;

	msg_read_from(&reader, payload, length);
	configure.time_ns = msg_read_u64(&reader);
	msg_read_bytes(&reader, configure.entropy, sizeof(configure.entropy));
	if (!msg_ok(&reader))
		reply(agent, id, PROTO_BAD_REQUEST, "the time and random bytes are cut off");
	else if (agent->options->mode != AGENT_FAKE && identity_seed(&configure, &err) < 0)
		reply(agent, id, PROTO_FAILED, err.text);
	else
		reply(agent, id, PROTO_OK, NULL);
}

static void tell_activity(struct agent *agent, uint32_t id)
{
	struct mux *mux = link_mux(agent->link);
	auto_buf struct buf payload;

	buf_init(&payload, sizeof(uint64_t));
	(void)msg_write_u64(&payload, provision_cpu_used());
	(void)mux_reply(mux, id, PROTO_OK, buf_data(&payload), buf_length(&payload));
}

static void on_request(void *ctx, uint32_t id, uint16_t what, const uint8_t *payload, size_t length)
{
	struct agent *agent = ctx;
	struct job *job;

	if (what == PROTO_SHUTDOWN) {
		shut_down(agent, id);
	} else if (what == PROTO_RESUMED) {
		resumed(agent, id, payload, length);
	} else if (what == PROTO_ACTIVITY) {
		tell_activity(agent, id);
	} else if (what != PROTO_CONFIGURE && what != PROTO_SYNC_DISKS && what != PROTO_QUIESCE) {
		reply(agent, id, PROTO_UNKNOWN, "this agent does not know that request");
	} else if (agent->busy || agent->shutdown) {
		reply(agent, id, PROTO_BAD_REQUEST, "the agent is busy with an earlier request");
		if (what == PROTO_QUIESCE)
			come_to_rest(agent);
	} else if (what == PROTO_CONFIGURE) {
		configure(agent, id, payload, length);
	} else {
		job = xcalloc(1, sizeof(*job));
		job->id = id;
		job->quiesces = what == PROTO_QUIESCE;
		start_job(agent, job);
	}
}

static void on_goaway(void *ctx, uint32_t code, const char *text)
{
	struct agent *agent = ctx;

	if (code == PROTO_OK)
		agent->heard_goaway = true;
	else
		log_warn("agent", "the host goes away: %s", text);
}

static void on_hello(void *ctx, const struct mux_hello *hello)
{
	struct agent *agent = ctx;

	agent->said_goaway = false;
	agent->heard_goaway = false;
	log_info("agent", "linked to %s", hello->program);
}

static void on_open(void *ctx, struct mux_channel *channel, uint16_t kind, uint32_t length)
{
	struct agent *agent = ctx;

	if (kind == PROTO_KIND_SESSION || kind == PROTO_KIND_ATTACH)
		session_open(&agent->sessions, channel, (enum proto_kind)kind, length);
	else if (kind == PROTO_KIND_LIST)
		sessions_list(&agent->sessions, channel);
	else if (kind == PROTO_KIND_PROGRAM)
		updates_open(&agent->updates, channel, length);
	else
		mux_reject(channel, PROTO_UNKNOWN, "this agent does not know that kind of channel");
}

static const struct mux_events link_events = {
    .hello = on_hello,
    .open = on_open,
    .request = on_request,
    .goaway = on_goaway,
};

/* Only an inherited link ends for good. Nobody is left to serve. */
static void on_link_ended(void *ctx, const char *why)
{
	struct agent *agent = ctx;

	log_info("agent", "%s", why);
	if (!agent->ended)
		agent->status = EXIT_FAILURE;
	loop_stop(agent->loop);
}

static void on_signal(void *ctx, const struct signalfd_siginfo *info)
{
	struct agent *agent = ctx;

	if (info->ssi_signo == SIGCHLD)
		reap(agent);
	else if (agent->options->mode == AGENT_INIT)
		shut_down(agent, 0);
	else
		loop_stop(agent->loop);
}

static void on_turn_end(void *ctx)
{
	struct agent *agent = ctx;

	link_flush(agent->link);
	if (agent->said_goaway && agent->heard_goaway && link_is_flushed(agent->link)) {
		agent->said_goaway = false;
		agent->heard_goaway = false;
		link_rest(agent->link);
	}
	if (agent->ended && !agent->replied && (agent->late || link_is_flushed(agent->link))) {
		agent->replied = true;
		reply(agent, agent->shutdown_id, PROTO_OK, NULL);
		link_flush(agent->link);
	}
	if (!agent->replied || !(agent->late || link_is_flushed(agent->link)))
		return;
	if (agent->options->mode != AGENT_FAKE)
		shutdown_power_off();
	loop_stop(agent->loop);
}

/* SIGINT is what the kernel makes of ctrl-alt-del for PID 1, the others what poweroff(8), halt(8)
 * and reboot(8) of busybox send to it. */
static int take_signals(struct agent *agent, struct err *err)
{
	static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGPWR, SIGUSR1, SIGUSR2};
	sigset_t set;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		(void)sigaddset(&set, numbers[i]);
	return loop_take_signals(agent->loop, &set, on_signal, agent, err);
}

int agent_run(const struct options *options, const char *boot_error)
{
	struct agent agent = {.options = options, .boot_error = boot_error};
	struct err err = ERR_INIT;
	struct mux_hello hello;

	agent.loop = loop_new();
	sessions_init(&agent.sessions, agent.loop);
	agent.sessions.as_self = options->mode == AGENT_FAKE;
	agent.shares.port_fd = options->share_fd;
	agent.updates = (struct updates){.loop = agent.loop, .directory = options->programs};
	loop_timer_init(&agent.patience);
	agent.patience.fire = on_impatient;
	loop_timer_init(&agent.farewell);
	agent.farewell.fire = on_late;
	hello_make(&hello);
	if (take_signals(&agent, &err) < 0)
		goto out;
	agent.link = link_new(agent.loop, options->link_fd, options->mode == AGENT_SERVICE, &hello,
			      &link_events, on_link_ended, &agent);
	loop_set_turn_end(agent.loop, on_turn_end, &agent);
	if (loop_run(agent.loop, &err) == 0)
		err.code = ERR_NONE;
out:
	if (err.code != ERR_NONE) {
		log_error("agent", "%s", err.text);
		agent.status = EXIT_FAILURE;
	}
	link_free(agent.link);
	sessions_done(&agent.sessions);
	shutdown_free(agent.shutdown);
	loop_free(agent.loop);
	return agent.status;
}
