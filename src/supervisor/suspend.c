/*
 * Theory of operation. Out:
 *
 *	running ── asked, idle, signal ──▶ suspending
 *	  1  the agent writes all to its disk and comes to rest (its link is over, between two frames)
 *	  2  the share server comes to rest; its memory is compact
 *	  3  the machine stops, gives its devices' state, ends; from here the guest is memory
 *	  4  saving: a worker copies that memory to disk and syncs; the manifest makes it count
 *	  5  gone
 *
 * Until 3 a failure lets the machine go on; the agent hears a new HELLO on the same port, and a guest
 * that does not answer it is switched off, as is one that never comes to rest. From 3 on
 * whatever happens, a client that wants the guest or a disk that is full, leads to a new machine
 * that goes on from memory (resume.c); where there can be none, to 4 and an end, whoever wants it.
 * The guest is never left standing still.
 */
#include "supervisor/internal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REST_LIMIT_MS 60000 /* a guest's whole page cache, to a slow disk */
#define MS_PER_S      1000.0

void suspend_init(struct supervisor *s)
{
	s->suspend = (struct suspend){
	    .ram_fd = -1, .state_fd = -1, .share_fd = -1, .agent_fd = -1, .old_ram_fd = -1};
	(void)uv_timer_init(&s->loop, &s->suspend.let_go);
	s->suspend.let_go.data = s;
}

void suspend_done(struct supervisor *s)
{
	struct suspend *u = &s->suspend;

	close_fd(&u->ram_fd);
	close_fd(&u->state_fd);
	close_fd(&u->share_fd);
	close_fd(&u->agent_fd);
	close_fd(&u->old_ram_fd);
	saved_manifest_done(&u->manifest);
	free(take_ptr(&u->machine));
	free(take_ptr(&u->failure));
}

static double seconds_since(const struct supervisor *s, uint64_t began_ms)
{
	return (double)(uv_now(&s->loop) - began_ms) / MS_PER_S;
}

/* -- back to running -- */

static void on_power_limit(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	if (s->vm)
		s->vm->ops->kill(s->vm);
}

/* Nobody in the guest can be asked any more. */
static void switch_off(struct supervisor *s, const char *why)
{
	log_error("suspend", "%s", why);
	control_suspend_failed(s->control, why);
	supervisor_set_state(s, STATE_STOPPING);
	control_ready(s->control, why);
	s->vm->ops->power_button(s->vm);
	supervisor_set_limit(s, POWER_LIMIT_MS, on_power_limit);
}

static void on_no_answer(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	if (lifecycle_paused(s)) /* it cannot, until its disk has room */
		supervisor_set_limit(s, ANSWER_LIMIT_MS, on_no_answer);
	else
		switch_off(s, "the guest does not answer any more; it is switched off");
}

/* The machine is there and runs: only the link to the agent, which is at rest, is made anew. */
static void go_on(struct supervisor *s, const char *why)
{
	auto_free char *text = xasprintf("the VM was not suspended: %s", why);

	log_warn("suspend", "%s", text);
	idle_put_off(s);
	control_suspend_failed(s->control, text);
	if (s->suspend.leaving)
		s->suspend.stop = true;
	if (s->share)
		share_link_resume(s->share);
	lifecycle_link_agent(s, take_fd(&s->suspend.agent_fd), true);
	supervisor_set_limit(s, ANSWER_LIMIT_MS, on_no_answer);
}

static void go_on_from_memory(struct supervisor *s)
{
	struct err err = ERR_INIT;

	control_suspend_failed(s->control, "the VM goes on: somebody wants it");
	s->suspend.wanted = false;
	s->started_ms = uv_now(&s->loop);
	supervisor_set_state(s, STATE_STARTING);
	if (lifecycle_start(s, &err) < 0) {
		s->suspend.failure = xstrdup(err.text);
		suspend_keep(s);
	}
}

bool suspend_ready(struct supervisor *s)
{
	struct err err = ERR_INIT;

	if (s->suspend.stop || (s->suspend.leaving && suspend_begin(s, &err) < 0))
		stop_begin(s);
	return s->state != STATE_READY;
}

/* -- 4: to disk -- */

/* A directory that is not there any more has nothing to be lost. */
static int sync_dir(const char *path, struct err *err)
{
	auto_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return dir < 0 || saved_sync(dir, err) == 0 ? 0 : err_wrap(err, "%s", path);
}

/* What the guest wrote there is written for it: it will not do so again. Beside the data directory's
 * own there lies what it removed and still has open. */
static int sync_shares(const struct supervisor *s, struct err *err)
{
	if (sync_dir(s->project.root, err) < 0)
		return -1;
	for (size_t i = 0; i < s->shares.count; i++)
		if (!s->shares.entries[i].read_only && sync_dir(s->shares.entries[i].path, err) < 0)
			return -1;
	return saved_sync(s->data_dir, err);
}

static void save_work(uv_work_t *work)
{
	struct supervisor *s = work->data;
	struct suspend *u = &s->suspend;
	const struct saved_memory memory = {
	    .ram = u->ram_fd,
	    .state = u->state_fd,
	    .share = u->share_fd,
	    .ram_bytes = s->settings.mem,
	};

	u->result = sync_shares(s, &u->err);
	if (u->result == 0)
		u->result = saved_state_write(s->data_dir, &s->identity, &memory, &u->manifest,
					      &u->cancel, &u->err);
}

/* It was saved, or not, because no machine went on from memory. */
static void end_with_failure(struct supervisor *s)
{
	struct suspend *u = &s->suspend;

	if (u->result == 0) {
		resume_stay(s);
		return;
	}
	auto_free char *text = xasprintf("the VM cannot go on: %s; it cannot be saved either: %s; "
					 "what ran in it is lost, its disk is not",
					 u->failure, u->err.text);
	log_error("suspend", "%s", text);
	control_failed(s->control, text);
	lifecycle_finish(s, text, "");
}

static void after_save(uv_work_t *work, int status)
{
	struct supervisor *s = work->data;
	struct suspend *u = &s->suspend;
	bool failed = u->result < 0;

	(void)status;
	u->working = false;
	u->on_disk = !failed;
	if (u->failure) {
		end_with_failure(s);
		return;
	}
	if (failed && u->err.code != ERR_CANCELLED) {
		auto_free char *text =
		    xasprintf("the VM goes on, because it could not be saved: %s", u->err.text);

		log_error("suspend", "%s", text);
		idle_put_off(s);
		control_note(s->control, text);
		control_suspend_failed(s->control, text);
		u->stop |= u->leaving;
	}
	if (failed || u->wanted) {
		go_on_from_memory(s);
		return;
	}
	log_info("suspend", "on disk after %.2f s", seconds_since(s, u->began_ms));
	lifecycle_finish(s, NULL, "the VM was suspended");
}

static void start_saving(struct supervisor *s)
{
	struct suspend *u = &s->suspend;
	enum vm_accel accel = u->manifest.accel;

	supervisor_set_state(s, STATE_SAVING);
	saved_manifest_done(&u->manifest); /* of a save before */
	u->manifest.accel = accel;
	u->manifest.machine = xstrdup(u->machine);
	u->manifest.processor = u->manifest.accel == VM_ACCEL_KVM ? saved_processor() : xstrdup("");
	memcpy(u->manifest.boot_nonce, s->boot_nonce, sizeof(s->boot_nonce));
	u->err = (struct err)ERR_INIT;
	atomic_store(&u->cancel, false);
	u->work.data = s;
	u->working = true;
	(void)uv_queue_work(&s->loop, &u->work, save_work, after_save);
}

void suspend_wanted(struct supervisor *s)
{
	struct suspend *u = &s->suspend;

	if ((s->state != STATE_SUSPENDING && s->state != STATE_SAVING) || (u->leaving && !u->stop))
		return;
	u->wanted = true;
	if (s->state == STATE_SAVING && !u->failure)
		atomic_store(&u->cancel, true);
}

/* -- 3: the machine's state -- */

bool suspend_gone(struct supervisor *s)
{
	struct suspend *u = &s->suspend;

	if (!u->taken)
		return false;
	(void)uv_timer_stop(&s->limit);
	log_info("suspend", "the guest is memory after %.2f s", seconds_since(s, u->began_ms));
	u->ram_fd = take_fd(&s->machine.spec.ram_fd);
	u->on_disk = false;
	free(take_ptr(&u->failure)); /* it was taken all the same */
	u->manifest.accel = s->machine.spec.accel;
	close_fd(&u->agent_fd);
	lifecycle_drop_machine(s);
	if (u->wanted)
		go_on_from_memory(s);
	else
		start_saving(s);
	return true;
}

void suspend_keep(struct supervisor *s)
{
	struct suspend *u = &s->suspend;

	log_error("suspend", "the VM cannot go on from memory: %s", u->failure);
	u->resuming = false;
	if (u->ram_fd < 0)
		u->ram_fd = take_fd(&s->machine.spec.ram_fd);
	lifecycle_drop_machine(s);
	if (u->on_disk)
		resume_stay(s);
	else
		start_saving(s);
}

/* All that is wanted of it is taken. */
static void on_quit_limit(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	log_warn("suspend", "the machine does not end; killing it");
	if (s->vm)
		s->vm->ops->kill(s->vm);
}

void suspend_saved(void *ctx, const struct err *failure)
{
	struct supervisor *s = ctx;

	if (s->state != STATE_SUSPENDING)
		return;
	s->suspend.taken = !failure;
	if (failure)
		go_on(s, failure->text);
	else
		supervisor_set_limit(s, POWER_LIMIT_MS, on_quit_limit);
}

static int take_state(struct supervisor *s, struct err *err)
{
	struct suspend *u = &s->suspend;

	close_fd(&u->state_fd);
	close_fd(&u->share_fd);
	if (s->share && share_link_state(s->share, &u->share_fd, err) < 0)
		return -1;
	u->state_fd = memfd_create("dxvm-state", MFD_CLOEXEC);
	if (u->state_fd < 0)
		return err_sys(err, "memory for the machine's state");
	return s->vm->ops->save(s->vm, u->state_fd, err);
}

static void on_share_quiet(void *ctx)
{
	struct supervisor *s = ctx;
	struct err err = ERR_INIT;

	if (s->state == STATE_SUSPENDING && take_state(s, &err) < 0)
		go_on(s, err.text);
}

/* -- 1 and 2: to rest -- */

static void on_at_rest(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;
	struct suspend *u = &s->suspend;

	if (s->state != STATE_SUSPENDING)
		return;
	u->agent_fd = agent_link_release(take_ptr(&s->agent));
	if (u->failure) {
		auto_free char *why = take_ptr(&u->failure);

		go_on(s, why);
	} else if (s->share) {
		share_link_quiesce(s->share, on_share_quiet, s);
	} else {
		on_share_quiet(s);
	}
}

/* Why it will not be suspended although it comes to rest; the first reason counts. */
static void fail(struct supervisor *s, const char *why)
{
	if (why && !s->suspend.failure)
		s->suspend.failure = xstrdup(why);
}

void suspend_at_rest(struct supervisor *s, const char *failure)
{
	if (s->state != STATE_SUSPENDING)
		return;
	fail(s, failure);
	/* Not from inside its link. */
	supervisor_set_limit(s, 0, on_at_rest);
}

static void on_rest_limit(uv_timer_t *timer);

/* It cannot write what it has to. As soon as it can, it goes on. */
void suspend_stalled(struct supervisor *s)
{
	if (s->state != STATE_SUSPENDING)
		return;
	auto_free char *text = xasprintf("the VM is not suspended: %s", lifecycle_paused(s));

	fail(s, lifecycle_paused(s));
	control_suspend_failed(s->control, text);
	supervisor_set_limit(s, REST_LIMIT_MS, on_rest_limit);
}

static void on_rest_limit(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	/* What it has to write is worth waiting for, unless nobody can. */
	if (lifecycle_paused(s) && !s->suspend.leaving) {
		suspend_stalled(s);
		return;
	}
	switch_off(s, "the guest does not come to rest; it is switched off");
}

int suspend_begin(struct supervisor *s, struct err *err)
{
	struct suspend *u = &s->suspend;

	if (s->state == STATE_SUSPENDING || s->state == STATE_SAVING)
		return 0;
	if (!s->machine.ops->save)
		return err_set(err, ERR_UNSUPPORTED, "this kind of VM cannot be suspended");
	if (lifecycle_paused(s))
		return err_set(err, ERR_BUSY, "%s", lifecycle_paused(s));
	if (s->state != STATE_READY || !agent_link_quiesce(s->agent))
		return err_set(err, ERR_AGAIN, "the VM is not ready to be suspended");
	resume_let_go(s);
	u->began_ms = uv_now(&s->loop);
	u->wanted = false;
	u->taken = false;
	free(take_ptr(&u->failure));
	supervisor_set_state(s, STATE_SUSPENDING);
	control_not_ready(s->control);
	control_turn_out(s->control, "the VM is being suspended; `dxvm` goes on with it");
	control_progress(s->control, "suspending the VM");
	supervisor_set_limit(s, REST_LIMIT_MS, on_rest_limit);
	return 0;
}
