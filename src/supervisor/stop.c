/*
 * Theory of operation. The agent is asked, then the power button, then the machine is killed; whoever
 * waits for it is told each step.
 *
 *	agent        ends sessions, syncs, powers off     SHUTDOWN_LIMIT_MS
 *	             has done its part                    POWER_LIMIT_MS, an init of its own INIT_LIMIT_MS
 *	button       the guest does that by itself        POWER_LIMIT_MS, alone SHUTDOWN_LIMIT_MS
 *
 * A guest whose agent cannot be asked has the button alone; one that never was ready has nothing to
 * lose. While a guest is paused, since the host's disk is full, no time passes for it: what it has
 * not written yet is worth waiting for.
 */
#include "supervisor/internal.h"

#include "base/log.h"
#include "base/mem.h"

#define SHUTDOWN_LIMIT_MS 20000
#define INIT_LIMIT_MS	  60000 /* for its services */

static void notice(struct supervisor *s, const char *text)
{
	log_warn("machine", "%s", text);
	control_note(s->control, text);
}

/* While it stands still it cannot end, and what it has not written yet is worth waiting for. */
static bool waits_for_room(struct supervisor *s, uv_timer_cb then)
{
	const char *paused = lifecycle_paused(s);
	auto_free char *text = paused ? xasprintf("%s, or `dxvm kill`", paused) : NULL;

	if (!paused)
		return false;
	notice(s, text);
	supervisor_set_limit(s, SHUTDOWN_LIMIT_MS, then);
	return true;
}

static void on_limit_kill(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	if (waits_for_room(s, on_limit_kill))
		return;
	notice(s, "the guest does not power off; killing it");
	if (s->vm)
		s->vm->ops->kill(s->vm);
}

static void on_limit_power(uv_timer_t *timer);

static void press_power(struct supervisor *s, const char *why, uint64_t limit_ms)
{
	if (waits_for_room(s, on_limit_power))
		return;
	notice(s, why);
	s->vm->ops->power_button(s->vm);
	supervisor_set_limit(s, limit_ms, on_limit_kill);
}

static void on_limit_power(uv_timer_t *timer)
{
	press_power(timer->data, "the guest has not stopped in 20 s; pressing its power button",
		    POWER_LIMIT_MS);
}

void stop_guest(struct supervisor *s)
{
	if (s->vm && s->ready_ms)
		press_power(s, "the guest's agent cannot be asked; pressing the power button",
			    SHUTDOWN_LIMIT_MS);
	else if (s->vm)
		s->vm->ops->kill(s->vm);
}

void stop_begin(struct supervisor *s)
{
	/* A guest that is on its way out of memory or into it can be asked when it runs. */
	if (s->state == STATE_SUSPENDING || s->state == STATE_SAVING || s->suspend.resuming) {
		s->suspend.stop = true;
		suspend_wanted(s);
		return;
	}
	if (s->state >= STATE_STOPPING)
		return;
	bool asked = agent_link_shutdown(s->agent);
	supervisor_set_state(s, STATE_STOPPING);
	control_stopping(s->control, "the VM is being stopped");
	if (asked)
		supervisor_set_limit(s, SHUTDOWN_LIMIT_MS, on_limit_power);
	else if (s->vm) /* it boots, its agent is being restarted, or does not read */
		stop_guest(s);
	else
		lifecycle_finish(s, NULL, "the VM was stopped");
}

void stop_agent_done(struct supervisor *s)
{
	bool own_init = s->settings.guest->boots_itself;

	if (s->state == STATE_STOPPING)
		supervisor_set_limit(s, own_init ? INIT_LIMIT_MS : POWER_LIMIT_MS, on_limit_kill);
}

void stop_room(struct supervisor *s)
{
	if (s->state == STATE_STOPPING)
		supervisor_set_limit(s, SHUTDOWN_LIMIT_MS, on_limit_power);
}
