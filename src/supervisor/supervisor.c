#include "supervisor/supervisor.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "project/data_dir.h"
#include "project/live.h"
#include "supervisor/agent_link.h"
#include "supervisor/control.h"
#include "supervisor/machine.h"
#include "supervisor/ram.h"
#include "supervisor/share_link.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LOG_CAP		   ((off_t)1 << 20)
#define HELLO_LIMIT_MS	   180000 /* a slow host under TCG, fsck included */
#define SHUTDOWN_LIMIT_MS  20000  /* the guest ends sessions, syncs, powers off */
#define POWER_LIMIT_MS	   5000	  /* the firmware's way, after that it is killed */
#define DRAIN_LIMIT_MS	   2000
#define LINGER_MS	   3000
#define LOST_LIMIT_MS	   1000
#define SOCKET_NAME_LENGTH 16 /* digits of the id: sun_path is short */

enum state {
	STATE_STARTING,
	STATE_CONFIGURING,
	STATE_READY,
	STATE_STOPPING,
	STATE_GONE,
	STATE_COUNT,
};

static const char *const state_names[] = {
    [STATE_STARTING] = "starting", [STATE_CONFIGURING] = "configuring",
    [STATE_READY] = "running",	   [STATE_STOPPING] = "stopping",
    [STATE_GONE] = "gone",
};
_Static_assert(ARRAY_SIZE(state_names) == STATE_COUNT, "a name for each state");

struct supervisor {
	uv_loop_t loop;
	enum state state;
	struct project project;
	struct identity identity;
	struct settings settings;
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
	uint64_t ready_ms;
	char *agent_loss; /* why the agent's link went down */
	bool tried_tcg;	  /* fell back from KVM once */
	int data_dir;
};

static void set_state(struct supervisor *s, enum state state)
{
	log_info("state", "%s -> %s", state_names[s->state], state_names[state]);
	s->state = state;
}

static void set_limit(struct supervisor *s, uint64_t ms, uv_timer_cb then)
{
	(void)uv_timer_start(&s->limit, then, ms, 0);
}

/* -- the end -------------------------------------------------------------------------------------
 */

static void on_drained(void *ctx)
{
	struct supervisor *s = ctx;

	uv_stop(&s->loop);
}

static void on_linger_over(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	control_finish(s->control, DRAIN_LIMIT_MS, on_drained);
}

/* The machine is gone. failure: NULL after an orderly stop, else why. A machine that fails faster
 * than the client that started it can connect would fail in silence: so wait a little for it. */
static void finish(struct supervisor *s, const char *failure)
{
	set_state(s, STATE_GONE);
	(void)uv_timer_stop(&s->limit);
	agent_link_free(take_ptr(&s->agent));
	share_link_free(take_ptr(&s->share));
	control_ready(s->control, failure ? failure : "the VM was stopped");
	if (failure)
		control_goaway(s->control, failure);
	if (failure && !control_was_heard(s->control))
		set_limit(s, LINGER_MS, on_linger_over);
	else
		control_finish(s->control, DRAIN_LIMIT_MS, on_drained);
}

static void on_limit_kill(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	log_warn("stop", "the machine does not end by itself; killing it");
	if (s->vm)
		s->vm->ops->kill(s->vm);
}

static void on_limit_power(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	log_warn("stop", "the guest did not power off in %d s; pressing the power button",
		 SHUTDOWN_LIMIT_MS / 1000);
	s->vm->ops->power_button(s->vm);
	set_limit(s, POWER_LIMIT_MS, on_limit_kill);
}

static void on_stop(void *ctx)
{
	struct supervisor *s = ctx;

	if (s->state >= STATE_STOPPING)
		return;
	bool asked = agent_link_shutdown(s->agent);
	set_state(s, STATE_STOPPING);
	control_ready(s->control, "the VM is being stopped");
	if (asked)
		set_limit(s, SHUTDOWN_LIMIT_MS, on_limit_power);
	else
		s->vm->ops->kill(s->vm); /* still booting: nobody in it to ask */
}

/* -- the guest -----------------------------------------------------------------------------------
 */

static void on_hello(void *ctx, const struct mux_hello *hello)
{
	struct supervisor *s = ctx;

	log_info("agent", "%s, %llu ms after its start", hello->program,
		 (unsigned long long)(hello->uptime_ns / 1000000));
	if (s->state == STATE_STARTING || s->state == STATE_READY) {
		set_state(s, STATE_CONFIGURING);
		control_not_ready(s->control);
		control_progress(s->control, "setting up the guest");
	}
}

static void on_ready(void *ctx)
{
	struct supervisor *s = ctx;

	if (s->state != STATE_CONFIGURING)
		return;
	(void)uv_timer_stop(&s->limit);
	set_state(s, STATE_READY);
	uv_update_time(&s->loop);
	s->ready_ms = uv_now(&s->loop);
	log_info("agent", "ready %llu ms after the start",
		 (unsigned long long)(s->ready_ms - s->started_ms));
	control_ready(s->control, NULL);
}

/* The guest is of no use: say why to all who wait, and end it. */
static void give_up(struct supervisor *s, const char *why)
{
	if (s->state >= STATE_STOPPING)
		return;
	log_error("guest", "%s", why);
	control_ready(s->control, why);
	control_goaway(s->control, why);
	set_state(s, STATE_STOPPING);
	s->vm->ops->kill(s->vm);
}

static void on_refused(void *ctx, const char *text)
{
	auto_free char *why = xasprintf("the guest could not be set up: %s", text);

	give_up(ctx, why);
}

static void on_stopped(void *ctx)
{
	struct supervisor *s = ctx;

	log_info("agent", "shut down");
	if (s->state == STATE_STOPPING)
		set_limit(s, POWER_LIMIT_MS, on_limit_kill);
}

static void on_agent_loss(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	give_up(s, s->agent_loss);
}

static void on_agent_lost(void *ctx, bool broken, const char *why)
{
	struct supervisor *s = ctx;

	log_info("agent", "link down: %s", why);
	if (s->state >= STATE_STOPPING)
		return;
	free(s->agent_loss);
	s->agent_loss = xasprintf("the guest's agent is gone: %s", why);
	if (broken)
		give_up(s, s->agent_loss);
	else /* if it is the machine that went, `gone` follows at once and says more */
		set_limit(s, LOST_LIMIT_MS, on_agent_loss);
}

static void on_hello_limit(uv_timer_t *timer)
{
	give_up(timer->data,
		"the guest did not come up in 180 s; `dxvm logs --console` shows how far "
		"it got");
}

static void on_share_failed(void *ctx, const char *text)
{
	struct supervisor *s = ctx;

	log_error("share", "%s", text);
	if (s->state != STATE_READY)
		give_up(s, text);
	else
		control_note(s->control, text);
}

/* -- the machine ---------------------------------------------------------------------------------
 */

static const struct agent_link_events agent_link_events = {
    .hello = on_hello,
    .ready = on_ready,
    .refused = on_refused,
    .stopped = on_stopped,
    .lost = on_agent_lost,
};

static int start_machine(struct supervisor *s, struct err *err);

/* KVM that passed the probe and still cannot start a machine: once more without it. */
static bool fall_back_to_tcg(struct supervisor *s, const struct vm_exit *exit)
{
	struct err err = ERR_INIT;

	if (!exit->early || s->machine.spec.accel != VM_ACCEL_KVM || s->tried_tcg ||
	    s->state != STATE_STARTING)
		return false;
	s->tried_tcg = true;
	log_warn("machine", "%s", exit->text);
	control_note(s->control, "KVM failed; using TCG, which is slower (see `dxvm logs`)");
	agent_link_free(take_ptr(&s->agent));
	share_link_free(take_ptr(&s->share));
	machine_done(&s->machine);
	if (start_machine(s, &err) == 0)
		return true;
	log_error("machine", "%s", err.text);
	return false;
}

static void on_gone(void *ctx, const struct vm_exit *exit)
{
	struct supervisor *s = ctx;
	bool wanted = s->state == STATE_STOPPING || exit->expected;

	s->vm->ops->free(take_ptr(&s->vm));
	if (fall_back_to_tcg(s, exit))
		return;
	if (wanted)
		log_info("machine", "powered off");
	else
		log_error("machine", "%s", exit->text);
	finish(s, wanted ? NULL : exit->text);
}

static void on_notice(void *ctx, const char *text)
{
	struct supervisor *s = ctx;

	log_warn("machine", "%s", text);
	control_note(s->control, text);
}

static const struct vm_events vm_events = {.notice = on_notice, .gone = on_gone};

static int start_share(struct supervisor *s, struct err *err)
{
	const struct share_link_spec spec = {
	    .port_fd = s->machine.share_peer,
	    .data_dir = s->data_dir,
	    .project = &s->project,
	    .ids = &s->ids,
	};

	return share_link_start(&s->loop, &spec, on_share_failed, s, &s->share, err);
}

static int start_machine(struct supervisor *s, struct err *err)
{
	struct machine *m = &s->machine;
	auto_buf struct buf text;

	if (machine_prepare(m, s->data_dir, &s->project, &s->identity, &s->settings, err) < 0)
		return -1;
	if (s->tried_tcg)
		m->spec.accel = VM_ACCEL_TCG;
	buf_init(&text, 65536);
	if (m->ops->describe(&m->spec, &text, err) == 0)
		log_info("machine", "%.*s", (int)buf_length(&text), (const char *)buf_data(&text));
	if (m->accel_reason[0])
		control_note(s->control, m->accel_reason);
	control_progress(s->control, "starting the VM");
	if (m->ops->start(&m->spec, &s->loop, &vm_events, s, &s->vm, err) < 0)
		return -1;
	machine_started(m);
	s->agent =
	    agent_link_new(&s->loop, take_fd(&m->agent_peer), &s->configure, &agent_link_events, s);
	if (s->configure.share_count > 0 && start_share(s, err) < 0)
		return -1;
	set_limit(s, HELLO_LIMIT_MS, on_hello_limit);
	return 0;
}

/* -- control -------------------------------------------------------------------------------------
 */

static void on_status(void *ctx, struct message_status *ret_status)
{
	struct supervisor *s = ctx;
	bool real = s->settings.guest->has_machine;

	*ret_status = (struct message_status){
	    .state = xstrdup(state_names[s->state]),
	    .guest = xstrdup(s->settings.guest->name),
	    .accelerator = xstrdup(!real				   ? "none"
				   : s->machine.spec.accel == VM_ACCEL_KVM ? "kvm"
									   : "tcg"),
	    .uptime_ms = uv_now(&s->loop) - s->started_ms,
	    .memory_bytes = real ? s->settings.mem : 0,
	    .resident_bytes = ram_resident(s->machine.spec.ram_fd),
	    .cpus = (uint32_t)s->settings.cpu,
	    .sessions = control_session_count(s->control),
	    .supervisor_pid = (uint32_t)getpid(),
	    .machine_pid = s->vm ? (uint32_t)s->vm->ops->pid(s->vm) : 0,
	    .boot_ms = s->ready_ms ? s->ready_ms - s->started_ms : 0,
	};
}

static struct mux *on_agent(void *ctx)
{
	struct supervisor *s = ctx;

	return s->state == STATE_READY ? agent_link_mux(s->agent) : NULL;
}

static const struct control_host control_host = {
    .status = on_status,
    .stop = on_stop,
    .agent = on_agent,
};

static void on_signal(uv_signal_t *handle, int signum)
{
	log_info("signal", "%s: stopping the VM", strsignal(signum));
	on_stop(handle->data);
}

static void watch_signals(struct supervisor *s)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		(void)uv_signal_init(&s->loop, &s->signals[i]);
		s->signals[i].data = s;
		(void)uv_signal_start(&s->signals[i], on_signal, numbers[i]);
	}
}

/* -- start ---------------------------------------------------------------------------------------
 */

static int load(struct supervisor *s, const char *root, const char *data_dir, struct err *err)
{
	project_at(root, data_dir, &s->project);
	if (data_dir_open(&s->project, &s->data_dir, &s->identity, err) < 0)
		return -1;
	if (settings_load(s->data_dir, &s->settings, err) < 0)
		return err_wrap(err, "%s", s->project.data_dir);
	return guest_config_make(&s->project, &s->identity, &s->settings, &s->configure, &s->ids,
				 err);
}

static int open_control(struct supervisor *s, struct err *err)
{
	auto_free char *dir = path_runtime_dir();
	auto_free char *path = NULL;
	auto_free char *name = xstrndup(s->identity.hex, SOCKET_NAME_LENGTH);

	if (control_open(&s->loop, dir, name, &control_host, s, &s->control, &path, err) < 0)
		return -1;
	return live_write(LIVE_LOCK_FD, path, err);
}

static void open_log(struct supervisor *s)
{
	int fd =
	    openat(s->data_dir, "log", O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

	log_to(fd, LOG_INFO, LOG_CAP);
	log_info("state", "supervisor of %s, version %s, pid %ld", s->project.root, DXVM_VERSION,
		 (long)getpid());
}

static void on_walk_close(uv_handle_t *handle, void *ctx)
{
	(void)ctx;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void done(struct supervisor *s)
{
	agent_link_free(take_ptr(&s->agent));
	share_link_free(take_ptr(&s->share));
	if (s->vm)
		s->vm->ops->free(take_ptr(&s->vm));
	control_free(take_ptr(&s->control));
	machine_done(&s->machine);
	uv_walk(&s->loop, on_walk_close, NULL);
	(void)uv_run(&s->loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&s->loop);
	free(s->agent_loss);
	message_configure_done(&s->configure);
	project_done(&s->project);
}

static int run(struct supervisor *s, const char *root, const char *data_dir, struct err *err)
{
	if (load(s, root, data_dir, err) < 0)
		return -1;
	open_log(s);
	watch_signals(s);
	(void)uv_timer_init(&s->loop, &s->limit);
	s->limit.data = s;
	s->started_ms = uv_now(&s->loop);
	if (open_control(s, err) < 0) {
		log_error("control", "%s", err->text);
		return -1;
	}
	if (start_machine(s, err) < 0) {
		log_error("machine", "%s", err->text);
		return -1;
	}
	(void)!write(LIVE_READY_FD, LIVE_OK, strlen(LIVE_OK));
	(void)close(LIVE_READY_FD);
	(void)uv_run(&s->loop, UV_RUN_DEFAULT);
	log_info("state", "supervisor ends");
	return 0;
}

/* What would be run, one argument a line. */
static int dry_run(struct supervisor *s, const char *root, const char *data_dir, struct err *err)
{
	auto_buf struct buf text;

	buf_init(&text, 65536);
	if (load(s, root, data_dir, err) < 0 ||
	    machine_prepare(&s->machine, s->data_dir, &s->project, &s->identity, &s->settings,
			    err) < 0 ||
	    s->machine.ops->describe(&s->machine.spec, &text, err) < 0)
		return -1;
	if (s->machine.accel_reason[0])
		(void)fprintf(stderr, "dxvm: %s\n", s->machine.accel_reason);
	return file_write_all(STDOUT_FILENO, buf_data(&text), buf_length(&text), err);
}

int supervisor_main(int argc, char **argv)
{
	struct supervisor s = {.machine = MACHINE_INIT, .data_dir = -1};
	struct err err = ERR_INIT;
	bool dry = argc == 4 && strcmp(argv[3], "--dry-run") == 0;
	int status;

	if (argc != 3 && !dry) {
		(void)fprintf(stderr,
			      "dxvm: `" LIVE_COMMAND "` is not for people; see dxvm help\n");
		return 2;
	}
	(void)umask(077);
	(void)uv_loop_init(&s.loop);
	if (!dry)
		(void)file_set_inherit(LIVE_LOCK_FD, false, &err);
	status = dry ? dry_run(&s, argv[1], argv[2], &err) : run(&s, argv[1], argv[2], &err);
	if (status < 0)
		(void)!write(dry ? STDERR_FILENO : LIVE_READY_FD, err.text, strlen(err.text));
	done(&s);
	return status < 0 ? err_exit_status(&err) : 0;
}
