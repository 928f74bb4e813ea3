/*
 * Theory of operation. In:
 *
 *	1  the saved state is compared with what would be started now
 *	2  QEMU starts and waits; meanwhile fresh memory is filled from disk, each piece checked
 *	   (saved_ram.h)
 *	3  the machine loads its devices' state
 *	4  the saved state is made void, durably: from here on there is only the guest that runs
 *	5  the guest goes on; the agent says HELLO with the nonce of the boot that was suspended, and is
 *	   told the time
 *
 * A failure in any step ends that machine, says why in a line, voids what was saved, and boots. Not
 * so when QEMU cannot even be started, does not answer, or ends by itself before it has seen the
 * state, when a shared directory is missing, or when the state could not be read, be that for want
 * of memory or of its key: that is no fault of the state's, and the VM stays suspended until the
 * host is well again.
 *
 * From memory that a suspend has just left it is the same without 1 and the copy. Whatever fails
 * before 5, that memory is whole and is all there is of the guest: it goes to disk then, and the VM
 * stays suspended.
 */
#include "supervisor/internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "project/saved.h"
#include "vm/kvm_probe.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LET_GO_MS 3000 /* after the guest goes on: its shell has a prompt */

static double seconds_since_start(struct supervisor *s)
{
	uv_update_time(&s->loop);
	return (double)(uv_now(&s->loop) - s->started_ms) / 1000.0;
}

static void forget(struct supervisor *s)
{
	struct suspend *u = &s->suspend;

	u->resuming = false;
	u->taken = false;
	u->found = false;
	u->loading = false;
	close_fd(&u->ram_fd);
	close_fd(&u->state_fd);
	close_fd(&u->share_fd);
	saved_manifest_done(&u->manifest);
	free(take_ptr(&u->failure));
}

/* -- 1 -- */

/* Fails where the saved state cannot be removed: whoever looks would find it again. */
static int refuse(struct supervisor *s, const char *why, struct err *err)
{
	auto_free char *text = xasprintf("booting, because the suspended VM cannot go on: %s", why);

	log_warn("resume", "%s", text);
	control_note(s->control, text);
	forget(s);
	if (saved_remove(s->data_dir, err) == 0)
		return 0;
	return err_wrap(err, "nothing boots beside a saved state, which cannot be removed: %s",
			s->project.data_dir);
}

static int make_memory(struct suspend *u, struct err *err)
{
	u->state_fd = memfd_create("dxvm-state", MFD_CLOEXEC);
	u->share_fd = memfd_create("dxvm-share", MFD_CLOEXEC);
	return u->state_fd < 0 || u->share_fd < 0 ? err_sys(err, "memory for the machine's state")
						  : 0;
}

/* There is none, it is damaged, or it is of another VM, disk or machine. */
static bool is_useless(const struct err *why)
{
	return why->code == ERR_INVALID || why->code == ERR_NOT_FOUND;
}

#define STAYS "the VM stays suspended: %.400s; `dxvm kill` throws away what ran in it"

int resume_stays(struct err *err)
{
	const struct err why = *err;

	(void)err_set(err, why.code, STAYS, why.text);
	err->sys = why.sys;
	return -1;
}

int resume_look(struct supervisor *s, const enum vm_accel **ret_accel, struct err *err)
{
	struct suspend *u = &s->suspend;
	struct err why = ERR_INIT;

	*ret_accel = &u->manifest.accel;
	if (u->taken)
		return 0;
	forget(s);
	*ret_accel = NULL;
	if (!s->settings.guest->has_machine)
		return 0;
	if (saved_state_open(s->data_dir, &s->identity, &u->manifest, &why) == 0) {
		u->found = true;
		*ret_accel = &u->manifest.accel;
		return 0;
	}
	if (!is_useless(&why)) {
		*err = why;
		return resume_stays(err);
	}
	if (why.code != ERR_NOT_FOUND)
		return refuse(s, why.text, err);
	/* What a save that was interrupted has left. */
	(void)saved_remove(s->data_dir, &why);
	return 0;
}

static int use_saved(struct supervisor *s, bool *ret_resuming, struct err *err)
{
	struct suspend *u = &s->suspend;
	struct err why = ERR_INIT;
	auto_free char *processor =
	    s->machine.spec.accel == VM_ACCEL_KVM ? saved_processor() : xstrdup("");

	*ret_resuming = false;
	if (!u->found)
		return 0;
	if (saved_state_fits(s->data_dir, &u->manifest, u->machine, processor, &why) < 0) {
		if (is_useless(&why))
			return refuse(s, why.text, err);
		*err = why;
		return resume_stays(err);
	}
	if (make_memory(u, err) < 0)
		return resume_stays(err);
	memcpy(s->boot_nonce, u->manifest.boot_nonce, sizeof(s->boot_nonce));
	*ret_resuming = true;
	return 0;
}

static void describe(struct supervisor *s)
{
	auto_buf struct buf text;
	struct vm_spec spec = s->machine.spec;
	struct err err = ERR_INIT;

	/* What such a guest wants booted next is no matter for the one that goes on. */
	if (s->settings.guest->boots_itself)
		spec.cmdline = "";
	buf_init(&text, SAVED_TEXT_MAX);
	free(s->suspend.machine);
	if (s->machine.ops->describe(&spec, &text, &err) < 0)
		log_warn("machine", "%s", err.text);
	for (size_t i = 0; i < s->shares.count; i++) {
		auto_free char *share = share_entry_text(&s->shares.entries[i]);

		(void)buf_append(&text, "share ", strlen("share "));
		(void)buf_append(&text, share, strlen(share));
		(void)buf_append(&text, "\n", 1);
	}
	s->suspend.machine = buf_take_string(&text);
}

int resume_prepare(struct supervisor *s, bool *ret_resuming, struct err *err)
{
	struct suspend *u = &s->suspend;
	struct vm_spec *spec = &s->machine.spec;

	describe(s);
	*ret_resuming = u->taken;
	if (!s->machine.ops->load)
		return 0;
	if (u->taken) {
		close_fd(&spec->ram_fd);
		spec->ram_fd = take_fd(&u->ram_fd);
		(void)lseek(u->state_fd, 0, SEEK_SET); /* QEMU left it at the end */
	} else if (use_saved(s, ret_resuming, err) < 0) {
		return -1;
	}
	if (!*ret_resuming)
		return 0;
	spec->incoming = true;
	spec->state_fd = u->state_fd;
	u->resuming = true;
	u->going = false;
	return 0;
}

/* -- 2 and 3 -- */

static void end_machine(struct supervisor *s, const char *why, bool unseen)
{
	struct suspend *u = &s->suspend;

	if (!u->resuming || u->failure || s->state >= STATE_STOPPING)
		return;
	u->failure = xstrdup(why);
	u->unseen = unseen;
	if (s->vm)
		s->vm->ops->kill(s->vm);
}

void resume_failed(struct supervisor *s, const char *why)
{
	end_machine(s, why, false);
}

bool resume_hindered(struct supervisor *s, const char *why)
{
	if (!s->suspend.resuming || s->suspend.going)
		return false;
	end_machine(s, why, true);
	return true;
}

/* KVM may be gone for good; a boot can do without. */
static bool has_accel(const struct supervisor *s)
{
	auto_free char *reason = NULL;
	enum vm_accel accel = VM_ACCEL_TCG;
	struct err err = ERR_INIT;

	return s->machine.spec.accel != VM_ACCEL_KVM ||
	       (kvm_choose(&accel, &reason, &err) == 0 && accel == VM_ACCEL_KVM);
}

void resume_stay(struct supervisor *s)
{
	auto_free char *text = xasprintf(STAYS, s->suspend.failure);

	log_error("resume", "%s", text);
	lifecycle_drop_machine(s);
	control_failed(s->control, text);
	lifecycle_finish(s, text, "");
}

static void boot(struct supervisor *s)
{
	struct err err = ERR_INIT;

	if (refuse(s, s->suspend.failure, &err) < 0) {
		log_error("resume", "%s", err.text);
		lifecycle_drop_machine(s);
		lifecycle_finish(s, err.text, "");
		return;
	}
	lifecycle_drop_machine(s);
	if (s->suspend.stop || s->suspend.leaving) { /* then there is nothing to boot for */
		lifecycle_finish(s, NULL, "the VM was stopped");
		return;
	}
	if (s->state != STATE_STARTING)
		supervisor_set_state(s, STATE_STARTING);
	if (lifecycle_start(s, &err) < 0) {
		log_error("machine", "%s", err.text);
		lifecycle_finish(s, err.text, "");
	}
}

static void stay_or_boot(struct supervisor *s)
{
	if (s->suspend.taken)
		suspend_keep(s);
	else if (s->suspend.unseen)
		resume_stay(s);
	else
		boot(s);
}

bool resume_gone(struct supervisor *s, const struct vm_exit *exit)
{
	struct suspend *u = &s->suspend;

	if (!u->resuming || s->state >= STATE_STOPPING)
		return false;
	(void)uv_timer_stop(&s->limit); /* of its agent, which went, too */
	if (!u->failure) {
		u->failure = xstrdup(exit->text[0] ? exit->text : "the machine ended");
		u->unseen = (!u->loading || exit->unborn) && has_accel(s);
	}
	if (u->working)
		atomic_store(&u->cancel, true); /* goes on in after_fill */
	else
		stay_or_boot(s);
	return true;
}

static void load(struct supervisor *s)
{
	struct err err = ERR_INIT;

	log_info("resume", "the memory is filled after %.2f s", seconds_since_start(s));
	if (lifecycle_start_share(s, s->suspend.share_fd, &err) < 0) {
		end_machine(s, err.text, true);
		return;
	}
	s->suspend.loading = true;
	if (s->vm->ops->load(s->vm, &err) < 0)
		end_machine(s, err.text, true);
}

static void fill_work(uv_work_t *work)
{
	struct supervisor *s = work->data;
	struct suspend *u = &s->suspend;
	const struct saved_memory memory = {
	    .ram = s->machine.spec.ram_fd,
	    .state = u->state_fd,
	    .share = u->share_fd,
	    .ram_bytes = s->settings.mem,
	};

	u->result = saved_state_read(s->data_dir, &u->manifest, &memory, &u->cancel, &u->err);
}

static void after_fill(uv_work_t *work, int status)
{
	struct supervisor *s = work->data;
	struct suspend *u = &s->suspend;

	(void)status;
	u->working = false;
	if (s->state >= STATE_STOPPING)
		return;
	if (!s->vm)
		stay_or_boot(s);
	else if (u->result < 0)
		end_machine(s, u->err.text, !is_useless(&u->err));
	else
		load(s);
}

int resume_started(struct supervisor *s, struct err *err)
{
	struct suspend *u = &s->suspend;

	(void)err;
	if (u->taken) {
		load(s);
		return 0;
	}
	u->err = (struct err)ERR_INIT;
	atomic_store(&u->cancel, false);
	u->work.data = s;
	u->working = true;
	(void)uv_queue_work(&s->loop, &u->work, fill_work, after_fill);
	return 0;
}

/* -- 4 and 5 -- */

static void on_no_answer(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	if (lifecycle_paused(s)) /* it cannot, until its disk has room */
		supervisor_set_limit(s, ANSWER_LIMIT_MS, on_no_answer);
	else
		resume_failed(s, "the guest does not answer");
}

static void on_closed(uv_fs_t *request)
{
	uv_fs_req_cleanup(request);
	free(request);
}

void resume_let_go(struct supervisor *s)
{
	struct suspend *u = &s->suspend;
	int ram = take_fd(&u->old_ram_fd);
	uv_fs_t *request;

	if (ram < 0)
		return;
	(void)uv_timer_stop(&u->let_go);
	request = xcalloc(1, sizeof(*request));
	if (uv_fs_close(&s->loop, request, ram, on_closed) < 0) {
		cleanup_close(&ram);
		free(request);
	}
}

static void on_let_go(uv_timer_t *timer)
{
	resume_let_go(timer->data);
}

/* To free the file takes a processor a third of a second for a gigabyte, which is as long as the
 * guest needs from here to a prompt: not now. */
static int make_void(struct supervisor *s, struct err *err)
{
	struct suspend *u = &s->suspend;
	int result;

	u->old_ram_fd = saved_state_hold(s->data_dir);
	(void)uv_timer_start(&u->let_go, on_let_go, LET_GO_MS, 0);
	result = saved_state_void(s->data_dir, err);
	u->on_disk &= saved_is_there(s->data_dir, NULL);
	return result;
}

void resume_loaded(void *ctx, const struct err *failure)
{
	struct supervisor *s = ctx;
	struct err err = ERR_INIT;

	if (!s->suspend.resuming || s->state >= STATE_STOPPING)
		return;
	if (failure) {
		end_machine(s, failure->text, failure->code != ERR_GUEST);
	} else if (make_void(s, &err) < 0) {
		resume_failed(s, err.text);
	} else {
		log_info("resume", "the guest goes on after %.2f s", seconds_since_start(s));
		s->suspend.taken = false; /* it changes what was */
		s->suspend.going = true;
		supervisor_set_limit(s, ANSWER_LIMIT_MS, on_no_answer);
		s->vm->ops->cont(s->vm);
	}
}

void resume_hello(struct supervisor *s, const struct mux_hello *hello)
{
	if (memcmp(hello->boot_nonce, s->boot_nonce, sizeof(s->boot_nonce)) != 0)
		resume_failed(s, "its memory is of another boot");
}

void resume_ready(struct supervisor *s)
{
	if (s->suspend.resuming)
		forget(s);
}
