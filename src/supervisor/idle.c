/*
 * Theory of operation. A few times in the period that is set it is looked whether anybody is
 * connected; if not, the agent is asked how much CPU time the guest's sessions have used. Listening
 * sockets, open files and programs that wait do not count: they sleep with their VM. A program that
 * computes does. While it is kept (`dxvm keep`), or stands still because the host's disk is full,
 * nobody is asked.
 */
#include "supervisor/internal.h"

#include "base/log.h"

#define LOOKS	     5
#define LOOK_MIN_MS  200
#define LOOK_MAX_MS  5000
#define BUSY_DIVISOR 20 /* of one processor: a twentieth is use */
#define US_PER_MS    1000
#define PUT_OFF_MS   600000

static uint64_t limit_ms(const struct supervisor *s)
{
	return s->settings.idle * 1000;
}

/* Whatever its sessions do. */
static bool is_used(const struct supervisor *s)
{
	return s->state != STATE_READY || s->idle.kept || lifecycle_paused(s) ||
	       control_client_count(s->control) > 0;
}

/* What was put off stays so: since_ms may lie ahead. */
static void in_use(struct supervisor *s)
{
	s->idle.known = false;
	if (s->idle.since_ms < uv_now(&s->loop))
		s->idle.since_ms = uv_now(&s->loop);
}

static void on_look(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	if (is_used(s) || !agent_link_ask_activity(s->agent))
		in_use(s);
}

void idle_activity(void *ctx, uint64_t cpu_us)
{
	struct supervisor *s = ctx;
	struct idle *idle = &s->idle;
	uint64_t now = uv_now(&s->loop);
	uint64_t allowed = (now - idle->asked_ms) * US_PER_MS / BUSY_DIVISOR;
	struct err err = ERR_INIT;

	/* A counter that went back is that of another boot. */
	if (idle->known && (cpu_us < idle->cpu_us || cpu_us - idle->cpu_us > allowed))
		in_use(s);
	idle->known = true;
	idle->asked_ms = now;
	idle->cpu_us = cpu_us;
	log_debug("idle", "sessions have used %llu us; the last use was %llu ms ago",
		  (unsigned long long)cpu_us,
		  (unsigned long long)(now > idle->since_ms ? now - idle->since_ms : 0));
	if (is_used(s) || now < idle->since_ms || now - idle->since_ms < limit_ms(s))
		return;
	log_info("idle", "nobody has used the VM for %llu s", (unsigned long long)s->settings.idle);
	if (suspend_begin(s, &err) < 0)
		idle_put_off(s);
}

void idle_keep(struct supervisor *s, bool on)
{
	log_info("idle", on ? "kept running" : "no longer kept running");
	s->idle.kept = on;
	in_use(s);
}

void idle_put_off(struct supervisor *s)
{
	s->idle.since_ms = uv_now(&s->loop) + PUT_OFF_MS;
}

void idle_init(struct supervisor *s)
{
	uint64_t look = limit_ms(s) / LOOKS;

	s->idle = (struct idle){.since_ms = uv_now(&s->loop)};
	(void)uv_timer_init(&s->loop, &s->idle.timer);
	s->idle.timer.data = s;
	if (s->settings.idle == 0 || !s->settings.guest->has_machine)
		return;
	look = look < LOOK_MIN_MS ? LOOK_MIN_MS : look > LOOK_MAX_MS ? LOOK_MAX_MS : look;
	(void)uv_timer_start(&s->idle.timer, on_look, look, look);
}
