/*
 * The life of a VM, from its start to its end: what follows from what the machine, the agent and
 * the clients do. Suspending and resuming is a life of its own in the middle of this one
 * (suspend.c).
 */
#include "supervisor/internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "supervisor/ram.h"
#include "supervisor/update.h"

#include <string.h>
#include <unistd.h>

#define HELLO_LIMIT_MS 180000 /* a slow host under TCG, fsck included */
#define DRAIN_LIMIT_MS 2000
#define LINGER_MS      3000
#define LOST_LIMIT_MS  1000

static const char *const state_names[] = {
    [STATE_STARTING] = "starting", [STATE_CONFIGURING] = "configuring",
    [STATE_READY] = "running",	   [STATE_SUSPENDING] = "suspending",
    [STATE_SAVING] = "saving",	   [STATE_STOPPING] = "stopping",
    [STATE_GONE] = "gone",
};
_Static_assert(ARRAY_SIZE(state_names) == STATE_COUNT, "a name for each state");

void supervisor_set_state(struct supervisor *s, enum state state)
{
	log_info("state", "%s -> %s", state_names[s->state], state_names[state]);
	s->state = state;
}

void supervisor_set_limit(struct supervisor *s, uint64_t ms, uv_timer_cb then)
{
	(void)uv_timer_start(&s->limit, then, ms, 0);
}

static void on_notice(void *ctx, const char *text)
{
	struct supervisor *s = ctx;

	log_warn("machine", "%s", text);
	control_note(s->control, text);
}

/* -- the end -- */

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

/* A machine that fails faster than the client that started it can connect would fail in silence: so
 * wait a little for it. */
void lifecycle_finish(struct supervisor *s, const char *failure, const char *text)
{
	supervisor_set_state(s, STATE_GONE);
	(void)uv_timer_stop(&s->limit);
	agent_link_free(take_ptr(&s->agent));
	share_link_free(take_ptr(&s->share));
	if (failure)
		control_ready(s->control, failure);
	else
		control_leaving(s->control, text);
	if (failure)
		control_goaway(s->control, failure);
	if (failure && !control_was_heard(s->control))
		supervisor_set_limit(s, LINGER_MS, on_linger_over);
	else
		control_finish(s->control, DRAIN_LIMIT_MS, on_drained);
}

const char *lifecycle_paused(const struct supervisor *s)
{
	return s->vm && s->vm->ops->paused ? s->vm->ops->paused(s->vm) : NULL;
}

static void on_stop(void *ctx)
{
	stop_begin(ctx);
}

/* -- the guest -- */

static void on_hello(void *ctx, const struct mux_hello *hello)
{
	struct supervisor *s = ctx;
	const uint8_t *nonce = hello->boot_nonce;

	log_info("agent", "%s, boot %02x%02x%02x%02x, %llu ms after its start", hello->program,
		 nonce[0], nonce[1], nonce[2], nonce[3],
		 (unsigned long long)(hello->uptime_ns / 1000000));
	if (s->suspend.resuming)
		resume_hello(s, hello);
	memcpy(s->boot_nonce, hello->boot_nonce, sizeof(s->boot_nonce));
	if (s->state == STATE_STARTING || s->state == STATE_READY || s->state == STATE_SUSPENDING) {
		supervisor_set_state(s, STATE_CONFIGURING);
		control_not_ready(s->control);
		if (!s->suspend.resuming)
			control_progress(s->control, "setting up the guest");
	}
}

static void on_ready(void *ctx)
{
	struct supervisor *s = ctx;

	if (s->state != STATE_CONFIGURING)
		return;
	(void)uv_timer_stop(&s->limit);
	supervisor_set_state(s, STATE_READY);
	uv_update_time(&s->loop);
	if (!s->ready_ms)
		s->ready_ms = uv_now(&s->loop);
	log_info("agent", "ready %llu ms after the start",
		 (unsigned long long)(s->ready_ms - s->started_ms));
	control_resumed(s->control, s->suspend.resuming);
	resume_ready(s);
	control_ready(s->control, NULL);
	if (!suspend_ready(s) && s->settings.guest->boots_itself)
		update_offer(agent_link_mux(s->agent));
}

/* The guest is of no use: say why to all who wait. */
static bool part(struct supervisor *s, const char *why)
{
	if (s->state >= STATE_STOPPING)
		return false;
	log_error("guest", "%s", why);
	control_ready(s->control, why);
	control_goaway(s->control, why);
	supervisor_set_state(s, STATE_STOPPING);
	return true;
}

/* And end it. */
void lifecycle_give_up(struct supervisor *s, const char *why)
{
	if (!part(s, why))
		return;
	if (s->vm)
		s->vm->ops->kill(s->vm);
	else
		lifecycle_finish(s, why, "");
}

static void on_at_rest(void *ctx, const char *failure)
{
	suspend_at_rest(ctx, failure);
}

static void on_refused(void *ctx, const char *text)
{
	auto_free char *why = xasprintf("the guest could not be set up: %s", text);

	lifecycle_give_up(ctx, why);
}

static void on_stopped(void *ctx)
{
	struct supervisor *s = ctx;

	log_info("agent", "shut down");
	stop_agent_done(s);
}

static void on_agent_loss(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	lifecycle_give_up(s, s->agent_loss);
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
		lifecycle_give_up(s, s->agent_loss);
	else /* if it is the machine that went, `gone` follows at once and says more */
		supervisor_set_limit(s, LOST_LIMIT_MS, on_agent_loss);
}

static void on_hello_limit(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	if (lifecycle_paused(s))
		supervisor_set_limit(s, HELLO_LIMIT_MS, on_hello_limit);
	else if (s->ready_ms && part(s, "the guest's agent did not come back in 180 s"))
		stop_guest(s);
	else
		lifecycle_give_up(s, "the guest did not come up in 180 s; `dxvm logs --console` "
				     "shows how far it got");
}

/* It is set up anew, as at a boot. */
static void on_not_at_rest(void *ctx)
{
	static const char text[] =
	    "the VM was not suspended: the guest's agent was restarted meanwhile; try it again";
	struct supervisor *s = ctx;

	if (s->state != STATE_SUSPENDING)
		return;
	log_warn("suspend", "%s", text);
	s->suspend.stop |= s->suspend.leaving;
	idle_put_off(s);
	control_suspend_failed(s->control, text);
	supervisor_set_limit(s, HELLO_LIMIT_MS, on_hello_limit);
}

static void on_share_failed(void *ctx, const char *text)
{
	struct supervisor *s = ctx;

	log_error("share", "%s", text);
	if (s->state == STATE_READY)
		control_note(s->control, text);
	else if (s->ready_ms && part(s, text))
		stop_guest(s);
	else if (!resume_hindered(s, text))
		lifecycle_give_up(s, text);
}

/* -- the machine -- */

static const struct agent_link_events agent_link_events = {
    .hello = on_hello,
    .ready = on_ready,
    .refused = on_refused,
    .at_rest = on_at_rest,
    .not_at_rest = on_not_at_rest,
    .stopped = on_stopped,
    .activity = idle_activity,
    .lost = on_agent_lost,
};

void lifecycle_drop_machine(struct supervisor *s)
{
	agent_link_free(take_ptr(&s->agent));
	share_link_free(take_ptr(&s->share));
	machine_done(&s->machine);
}

/* What a machine that did not get as far as a ready guest may be given once more: KVM that passed
 * the probe and still cannot start it, without KVM; and a kernel that panicked under TCG, as it is.
 * One in some hundred starts does: a processor of TCG's may run the int3 of an instruction that
 * another one has just finished to patch, and a timer may be too late on a busy host. */
static bool start_once_more(struct supervisor *s, const struct vm_exit *exit)
{
	bool by_kvm = s->machine.spec.accel == VM_ACCEL_KVM;
	bool *tried = by_kvm ? &s->tried_tcg : &s->tried_again;
	struct err err = ERR_INIT;

	if (!(by_kvm ? exit->early : exit->panicked) || *tried || s->state != STATE_STARTING)
		return false;
	*tried = true;
	log_warn("machine", "%s", exit->text);
	control_note(s->control,
		     by_kvm ? "KVM failed; using TCG, which is slower (see `dxvm logs`)"
			    : "the guest's kernel failed while it started; starting it once "
			      "more (see `dxvm logs`)");
	lifecycle_drop_machine(s);
	if (lifecycle_start(s, &err) == 0)
		return true;
	log_error("machine", "%s", err.text);
	return false;
}

static void on_gone(void *ctx, const struct vm_exit *exit)
{
	struct supervisor *s = ctx;
	bool wanted = s->state == STATE_STOPPING || exit->expected;

	s->vm->ops->free(take_ptr(&s->vm));
	if ((s->state == STATE_SUSPENDING && suspend_gone(s)) || resume_gone(s, exit) ||
	    start_once_more(s, exit))
		return;
	if (wanted) {
		log_info("machine", "powered off");
	} else {
		log_error("machine", "%s", exit->text);
		control_suspend_failed(s->control, exit->text);
	}
	lifecycle_finish(s, wanted ? NULL : exit->text, "the VM was stopped");
}

static void on_stalled(void *ctx, bool stalled)
{
	struct supervisor *s = ctx;

	if (stalled)
		suspend_stalled(s);
	else
		stop_room(s);
}

static const struct vm_events vm_events = {.notice = on_notice,
					   .stalled = on_stalled,
					   .saved = suspend_saved,
					   .loaded = resume_loaded,
					   .gone = on_gone};

void lifecycle_link_agent(struct supervisor *s, int fd, bool resumed)
{
	s->agent = agent_link_new(&s->loop, fd, &s->configure, resumed, &agent_link_events, s);
}

int lifecycle_start_share(struct supervisor *s, int state_fd, struct err *err)
{
	const struct share_link_spec spec = {
	    .port_fd = s->machine.share_peer,
	    .data_dir = s->data_dir,
	    .project = &s->project,
	    .further = &s->shares,
	    .boot = s->settings.guest->boots_itself,
	    .tools = guest_config_takes_tools(&s->project, &s->settings),
	    .ids = &s->ids,
	    .state_fd = state_fd,
	};

	if (s->configure.share_count == 0)
		return 0;
	return share_link_start(&s->loop, &spec, on_share_failed, s, &s->share, err);
}

int lifecycle_start(struct supervisor *s, struct err *err)
{
	struct machine *m = &s->machine;
	const enum vm_accel *accel;
	bool resuming;

	s->ready_ms = 0;
	if (resume_look(s, &accel, err) < 0 ||
	    machine_prepare(m, s->data_dir, &s->project, &s->identity, &s->settings, s->previous,
			    accel, err) < 0)
		return -1;
	if (s->tried_tcg)
		m->spec.accel = VM_ACCEL_TCG;
	if (resume_prepare(s, &resuming, err) < 0)
		return -1;
	log_info("machine", "%s", s->suspend.machine);
	if (m->accel_reason[0])
		control_note(s->control, m->accel_reason);
	control_progress(s->control, resuming ? "resuming the VM" : "starting the VM");
	if (!resuming && m->ops->save && saved_state_void(s->data_dir, err) < 0)
		return err_wrap(err, "%s", s->project.data_dir);
	if (machine_claim(m, s->data_dir, &s->settings, !resuming, err) < 0 ||
	    m->ops->start(&m->spec, &s->loop, &vm_events, s, &s->vm, err) < 0)
		return s->suspend.found ? resume_stays(err) : -1;
	machine_started(m);
	lifecycle_link_agent(s, take_fd(&m->agent_peer), resuming);
	if (resuming)
		return resume_started(s, err);
	if (lifecycle_start_share(s, -1, err) < 0)
		return -1;
	supervisor_set_limit(s, HELLO_LIMIT_MS, on_hello_limit);
	return 0;
}

/* -- control -- */

static void on_status(void *ctx, struct message_status *ret_status)
{
	struct supervisor *s = ctx;
	bool real = s->settings.guest->has_machine;

	*ret_status = (struct message_status){
	    .state = xstrdup(
		s->state == STATE_READY && lifecycle_paused(s) ? "paused" : state_names[s->state]),
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
	    .idle_s = real ? (uint32_t)s->settings.idle : 0,
	    .kept = s->idle.kept,
	};
}

static struct mux *on_agent(void *ctx)
{
	struct supervisor *s = ctx;

	return s->state == STATE_READY ? agent_link_mux(s->agent) : NULL;
}

static int on_suspend(void *ctx, struct err *err)
{
	return suspend_begin(ctx, err);
}

static void on_keep(void *ctx, bool on)
{
	idle_keep(ctx, on);
}

static void on_wanted(void *ctx)
{
	suspend_wanted(ctx);
}

const struct control_host lifecycle_control_host = {
    .status = on_status,
    .stop = on_stop,
    .suspend = on_suspend,
    .keep = on_keep,
    .wanted = on_wanted,
    .agent = on_agent,
};
