/*
 * The QEMU backend. A life has two ends that come in any order: the process is reaped, and QMP is
 * read to its end, which holds the reason of the shutdown. Only when both are there is the machine
 * gone, so that an orderly power-off is never taken for a crash. A process that lives on without QMP
 * has nobody to control it and is ended; its disk is closed before its QMP.
 *
 * What counts as expected: that the guest powered off or restarted (-no-reboot makes that an end,
 * see qemu_config.c) without a panic on its console, or that we killed it. Everything else is told
 * with QEMU's own words from stderr.
 *
 * QEMU does not exit when KVM fails in the middle; it stops the guest and says "internal-error".
 * That is an end for us too. When it stops because the host's disk is full, it is told to go on
 * every few seconds, until there is room.
 */
#include "base/file.h"
#include "base/mem.h"
#include "vm/child.h"
#include "vm/console.h"
#include "vm/migration.h"
#include "vm/qemu_config.h"
#include "vm/qmp.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define EARLY_MS 10000 /* a machine that dies this soon may do so because of the accelerator */
#define RETRY_MS 2000  /* between two tries to go on with a full disk */
#define END_MS	 1000  /* from the end of QMP to that of the process */

struct qemu {
	struct vm vm;
	uv_loop_t *loop;
	const struct vm_events *events;
	void *ctx;
	struct child *child;
	struct qmp *qmp;
	struct console *console;
	struct migration *migration;
	uv_timer_t retry; /* or, when QMP is over, how long the process may be left */
	uint64_t started; /* loop time */
	bool kvm;
	bool killed; /* by our user */
	bool loading;
	bool born; /* its main loop ran */
	bool process_over;
	bool qmp_over;
	bool disk_full;
	char reason[32];   /* of the SHUTDOWN event; "" if there was none */
	char failure[256]; /* why we ended it ourselves; "" if we did not */
	int status;
	char *words;
};

static struct qemu *qemu_of(struct vm *vm)
{
	return (struct qemu *)(void *)vm;
}

/* -- the end -- */

/* QEMU puts its name in front of every line. */
static char *without_name(const char *words)
{
	static const char name[] = QEMU_PROGRAM ": ";
	char *text = xstrdup(words);
	char *at = text;

	while ((at = strstr(at, name)))
		memmove(at, at + strlen(name), strlen(at + strlen(name)) + 1);
	return text;
}

static bool is_reason_expected(const struct qemu *q)
{
	return strcmp(q->reason, "guest-shutdown") == 0 || strcmp(q->reason, "guest-reset") == 0 ||
	       strcmp(q->reason, "host-qmp-quit") == 0;
}

static void explain(const struct qemu *q, struct vm_exit *exit)
{
	auto_free char *how = spawn_describe(q->status);
	auto_free char *words = without_name(q->words);
	const char *hint =
	    strstr(words, "unsupported machine type") ? " (dxvm needs QEMU 7.2 or newer)" : "";

	if (q->failure[0])
		(void)snprintf(exit->text, sizeof(exit->text), "%s%s%.200s", q->failure,
			       words[0] ? ": " : "", words);
	else
		(void)snprintf(exit->text, sizeof(exit->text), "QEMU %s%s%.350s%s", how,
			       words[0] ? ": " : "", words, hint);
}

static void maybe_gone(struct qemu *q)
{
	struct vm_exit exit = {.expected = q->killed, .unborn = !q->born};
	const char *panic;

	if (!q->process_over || !q->qmp_over)
		return;
	console_drain(q->console);
	panic = console_panic(q->console);
	(void)uv_timer_stop(&q->retry);
	if (!q->killed && q->failure[0] == '\0' && is_reason_expected(q)) {
		exit.panicked = panic[0] != '\0';
		exit.expected = !exit.panicked;
		(void)snprintf(exit.text, sizeof(exit.text), "%s%.400s",
			       exit.panicked ? "the guest's kernel failed: " : "", panic);
	} else if (!q->killed) {
		exit.early = uv_now(q->loop) - q->started < EARLY_MS;
		explain(q, &exit);
	}
	q->events->gone(q->ctx, &exit);
}

static void on_child_gone(void *ctx, int status, const char *words)
{
	struct qemu *q = ctx;

	q->process_over = true;
	q->status = status;
	q->words = xstrdup(words);
	maybe_gone(q);
}

static void fail(struct qemu *q, const char *why)
{
	if (q->failure[0] == '\0')
		(void)snprintf(q->failure, sizeof(q->failure), "%.255s", why);
	child_signal(q->child, SIGKILL);
}

static void on_outlived(uv_timer_t *timer)
{
	struct qemu *q = timer->data;

	if (q->reason[0]) /* it was ending, for that reason */
		child_signal(q->child, SIGKILL);
	else
		fail(q, "QEMU closed QMP and did not end");
}

static void on_qmp_closed(void *ctx, const struct err *why)
{
	struct qemu *q = ctx;

	q->qmp_over = true;
	if (why->code == ERR_PROTOCOL && !q->process_over)
		fail(q, why->text);
	else
		(void)uv_timer_start(&q->retry, on_outlived, END_MS, 0);
	maybe_gone(q);
}

/* -- stops we did not ask for -- */

static void set_stalled(struct qemu *q, bool stalled)
{
	if (q->disk_full == stalled)
		return;
	q->disk_full = stalled;
	if (q->events->notice)
		q->events->notice(
		    q->ctx, stalled
				? "the host's disk is full: the guest is paused until there is room"
				: "there is room on the host's disk again: the guest goes on");
	if (q->events->stalled)
		q->events->stalled(q->ctx, stalled);
}

/* Best effort: what cannot be sent shows as the end of the link. */
static void command(struct qemu *q, const char *name, qmp_done done)
{
	struct err err = ERR_INIT;

	(void)qmp_send(q->qmp, name, NULL, done, q, &err);
}

static void on_retry(uv_timer_t *timer)
{
	command(timer->data, "cont", NULL);
}

static void on_stop_status(void *ctx, const struct qmp_data *data, const struct err *error)
{
	struct qemu *q = ctx;
	const char *status = error ? "" : qmp_string(data, "status");

	if (strcmp(status, "internal-error") == 0) {
		fail(q, q->kvm ? "KVM stopped the guest with an internal error"
			       : "QEMU stopped the guest with an internal error");
	} else if (strcmp(status, "io-error") == 0) {
		set_stalled(q, true);
		(void)uv_timer_start(&q->retry, on_retry, RETRY_MS, 0);
	}
}

/* The guest ran for a moment after `cont` and may meet the full disk at once again: it is over only
 * when the next look finds it running. */
static void on_resume_status(void *ctx, const struct qmp_data *data, const struct err *error)
{
	struct qemu *q = ctx;

	if (!error && strcmp(qmp_string(data, "status"), "running") == 0)
		set_stalled(q, false);
}

static void on_resumed(uv_timer_t *timer)
{
	command(timer->data, "query-status", on_resume_status);
}

static void on_qmp_event(void *ctx, const char *name, const struct qmp_data *data)
{
	struct qemu *q = ctx;

	if (strcmp(name, "SHUTDOWN") == 0)
		(void)snprintf(q->reason, sizeof(q->reason), "%s", qmp_string(data, "reason"));
	else if (strcmp(name, "STOP") == 0)
		command(q, "query-status", on_stop_status);
	else if (strcmp(name, "RESUME") == 0 && q->disk_full)
		(void)uv_timer_start(&q->retry, on_resumed, RETRY_MS, 0);
}

static void on_qmp_ready(void *ctx)
{
	struct qemu *q = ctx;

	q->born = true;
}

static const struct qmp_events qmp_events = {
    .ready = on_qmp_ready, .event = on_qmp_event, .closed = on_qmp_closed};

/* -- suspend and resume -- */

/* The state is out or in, or will not be. */
static void on_moved(void *ctx, const struct err *failure)
{
	struct qemu *q = ctx;

	if (q->loading) {
		q->events->loaded(q->ctx, failure);
		return;
	}
	/* A QEMU whose state was taken must never go on: there would be two of this guest. */
	if (!failure)
		q->killed = true;
	command(q, failure ? "cont" : "quit", NULL);
	q->events->saved(q->ctx, failure);
}

static const char *qemu_paused(const struct vm *vm)
{
	const struct qemu *q = (const struct qemu *)(const void *)vm;

	return q->disk_full ? "the guest is paused: the host's disk is full; make room there"
			    : NULL;
}

static int qemu_save(struct vm *vm, int fd, struct err *err)
{
	struct qemu *q = qemu_of(vm);

	if (q->disk_full)
		return err_set(err, ERR_BUSY, "%s", qemu_paused(vm));
	q->loading = false;
	return migration_save(q->migration, fd, err);
}

static int qemu_load(struct vm *vm, struct err *err)
{
	struct qemu *q = qemu_of(vm);

	q->loading = true;
	return migration_load(q->migration, QEMU_FD_STATE, err);
}

static void qemu_cont(struct vm *vm)
{
	command(qemu_of(vm), "cont", NULL);
}

/* -- start -- */

static int run(struct qemu *q, const struct vm_spec *spec, int qmp_fd, int console_fd,
	       struct err *err)
{
	auto_argv char **argv = NULL;
	struct spawn_fd fds[QEMU_FD_END] = {
	    {.parent = qmp_fd, .child = QEMU_FD_QMP},
	    {.parent = spec->agent_fd, .child = QEMU_FD_AGENT},
	    {.parent = spec->share_fd, .child = QEMU_FD_SHARE},
	    {.parent = console_fd, .child = QEMU_FD_CONSOLE},
	    {.parent = spec->kernel_fd, .child = QEMU_FD_KERNEL},
	    {.parent = spec->initrd_fd, .child = QEMU_FD_INITRD},
	    {.parent = spec->ram_fd, .child = QEMU_FD_RAM},
	};
	size_t count = QEMU_FD_RAM + 1 - QEMU_FD_QMP; /* what every machine has */

	if (qemu_config_make(spec, &argv, err) < 0)
		return -1;
	if (spec->disk_fd >= 0)
		fds[count++] = (struct spawn_fd){.parent = spec->disk_fd, .child = QEMU_FD_DISK};
	if (spec->incoming)
		fds[count++] = (struct spawn_fd){.parent = spec->state_fd, .child = QEMU_FD_STATE};
	if (spec->install) {
		fds[count++] =
		    (struct spawn_fd){.parent = spec->install->media_fd, .child = QEMU_FD_MEDIA};
		fds[count++] = (struct spawn_fd){.parent = spec->install->bootstrap_fd,
						 .child = QEMU_FD_BOOTSTRAP};
		fds[count++] =
		    (struct spawn_fd){.parent = spec->install->boot_fd, .child = QEMU_FD_BOOT};
	}
	const struct spawn spawn = {
	    .program = QEMU_PROGRAM,
	    .arguments = argv,
	    .directory = "/",
	    .fds = fds,
	    .fd_count = count,
	    .block_signals = true,
	    .die_with_parent = true,
	};
	if (child_start(q->loop, &spawn, on_child_gone, q, &q->child, err) == 0)
		return 0;
	if (err->code == ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND,
			       "QEMU is missing: there is no " QEMU_PROGRAM " in PATH (Debian's "
			       "package is qemu-system-x86)");
	return -1;
}

static int connect_all(struct qemu *q, const struct vm_spec *spec, struct err *err)
{
	int ours = -1;
	int theirs = -1;

	if (file_socketpair(&ours, &theirs, err) < 0)
		return -1;
	auto_close int console_end = theirs;
	if (console_start(q->loop, ours, spec->console_fd, &q->console, err) < 0 ||
	    file_socketpair(&ours, &theirs, err) < 0)
		return -1;
	if (q->events->console)
		console_listen(q->console, q->events->console, q->ctx);
	auto_close int qmp_end = theirs;
	if (qmp_open(q->loop, ours, &qmp_events, q, &q->qmp, err) < 0)
		return -1;
	q->migration = migration_new(q->loop, q->qmp, on_moved, q);
	return run(q, spec, qmp_end, console_end, err);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct qemu *q = handle->data;

	free(q->words);
	free(q);
}

static void qemu_free(struct vm *vm)
{
	struct qemu *q = qemu_of(vm);

	child_free(take_ptr(&q->child));
	migration_free(take_ptr(&q->migration));
	qmp_close(take_ptr(&q->qmp));
	console_free(take_ptr(&q->console));
	uv_close((uv_handle_t *)&q->retry, on_timer_closed);
}

static int qemu_start(const struct vm_spec *spec, uv_loop_t *loop, const struct vm_events *events,
		      void *ctx, struct vm **ret_vm, struct err *err)
{
	struct qemu *q = xcalloc(1, sizeof(*q));

	*q = (struct qemu){
	    .vm = {.ops = &vm_qemu},
	    .loop = loop,
	    .events = events,
	    .ctx = ctx,
	    .kvm = spec->accel == VM_ACCEL_KVM,
	};
	uv_update_time(loop);
	q->started = uv_now(loop);
	(void)uv_timer_init(loop, &q->retry);
	q->retry.data = q;
	if (connect_all(q, spec, err) < 0) {
		qemu_free(&q->vm);
		return err_wrap(err, "start the machine");
	}
	*ret_vm = &q->vm;
	return 0;
}

static int qemu_describe(const struct vm_spec *spec, struct buf *text, struct err *err)
{
	auto_argv char **argv = NULL;

	if (qemu_config_make(spec, &argv, err) < 0)
		return -1;
	for (size_t i = 0; argv[i]; i++)
		if (buf_printf(text, "%s\n", argv[i]) < 0)
			return err_set(err, ERR_INVALID, "QEMU's command line is too long to show");
	return 0;
}

/* -- what can be done to it -- */

static int qemu_type(struct vm *vm, const char *text, struct err *err)
{
	return console_type(qemu_of(vm)->console, text, err);
}

static void qemu_power_button(struct vm *vm)
{
	command(qemu_of(vm), "system_powerdown", NULL);
}

static void qemu_kill(struct vm *vm)
{
	struct qemu *q = qemu_of(vm);

	q->killed = true;
	child_signal(q->child, SIGKILL);
}

static pid_t qemu_pid(const struct vm *vm)
{
	return child_pid(((const struct qemu *)(const void *)vm)->child);
}

const struct vm_ops vm_qemu = {
    .name = "qemu",
    .start = qemu_start,
    .describe = qemu_describe,
    .save = qemu_save,
    .paused = qemu_paused,
    .load = qemu_load,
    .cont = qemu_cont,
    .type = qemu_type,
    .power_button = qemu_power_button,
    .kill = qemu_kill,
    .pid = qemu_pid,
    .free = qemu_free,
};
