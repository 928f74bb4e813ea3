/*
 * Theory of operation. A list of commands, each sent when the one before was answered, then a
 * question that is repeated until the answer says that it is over. All of it has one limit, so that a
 * QEMU that does not answer, or never even greets, is a failure too.
 *
 * Learned by trying, with QEMU 7.2:
 * - `stop` comes first: a guest that runs while its state is taken starts by itself on the other
 *   side, before anybody set its clock.
 * - `quit` straight after `migrate` leaves an empty file, and `cont` before a load is over is
 *   answered with success and lost. So both directions are asked until they are done.
 * - A machine that was loaded tells its network that it moved, and has the guest ask for routers and
 *   neighbours anew. Its network is of its own and came along.
 * - Without max-bandwidth writing to a file is slowed down as if it were a network.
 * - exec: is forbidden by the sandbox; fd: takes a descriptor's number only for reading. For
 * writing it wants a name, under which getfd puts the descriptor that came with it.
 */
#include "vm/migration.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define POLL_MS	   5
#define LIMIT_MS   60000 /* it takes 20 ms, on a machine with nothing else to do */
#define URI_LENGTH 96

struct step {
	const char *command;
	const char *arguments; /* NULL: none */
	bool passes_fd;
};

struct migration {
	uv_timer_t timer;
	struct qmp *qmp;
	migration_done done;
	void *ctx;
	const struct step *steps; /* NULL: nothing is going on */
	size_t at;
	bool loading;
	int fd;
	char uri[URI_LENGTH];
	uint64_t deadline;
};

#define CAPABILITIES "{\"capabilities\":[{\"capability\":\"x-ignore-shared\",\"state\":true}]}"

static const struct step save_steps[] = {
    {"stop", NULL, false},
    {"migrate-set-capabilities", CAPABILITIES, false},
    {"migrate-set-parameters", "{\"max-bandwidth\":1099511627776}", false},
    {"getfd", "{\"fdname\":\"state\"}", true},
    {"migrate", "{\"uri\":\"fd:state\"}", false},
    {NULL, NULL, false},
};

static const struct step load_steps[] = {
    {"migrate-set-capabilities", CAPABILITIES, false},
    {"migrate-set-parameters", "{\"announce-rounds\":0}", false},
    {"migrate-incoming", "", false}, /* arguments: migration->uri */
    {NULL, NULL, false},
};

static void next(struct migration *m);

static void finish(struct migration *m, const struct err *failure)
{
	m->steps = NULL;
	(void)uv_timer_stop(&m->timer);
	close_fd(&m->fd);
	m->done(m->ctx, failure);
}

/* What QEMU says no to is a failure, as is what cannot be sent to it; that the link is gone is told
 * by its owner. */
static bool has_failed(struct migration *m, const struct err *error)
{
	struct err failure = ERR_INIT;

	if (!m->steps)
		return true;
	if (!error)
		return false;
	if (error->code != ERR_GUEST && error->code != ERR_BUSY) {
		m->steps = NULL;
		(void)uv_timer_stop(&m->timer);
		return true;
	}
	failure = *error;
	finish(m, &failure);
	return true;
}

static void on_limit(uv_timer_t *timer)
{
	struct migration *m = timer->data;
	struct err failure = ERR_INIT;

	if (!m->loading)
		(void)qmp_send(m->qmp, "migrate_cancel", NULL, NULL, NULL, &failure);
	(void)err_set(&failure, ERR_AGAIN, "QEMU did not come to an end with its state in %d s",
		      LIMIT_MS / 1000);
	finish(m, &failure);
}

static void on_saving(void *ctx, const struct qmp_data *data, const struct err *error)
{
	struct migration *m = ctx;
	struct err failure = ERR_INIT;
	const char *status;

	if (has_failed(m, error))
		return;
	status = qmp_string(data, "status");
	if (strcmp(status, "completed") == 0) {
		finish(m, NULL);
	} else if (strcmp(status, "failed") == 0 || strcmp(status, "cancelled") == 0) {
		(void)err_set(&failure, ERR_GUEST, "QEMU could not save its state: %.200s",
			      qmp_string(data, "error-desc"));
		finish(m, &failure);
	} else {
		next(m);
	}
}

static void on_loading(void *ctx, const struct qmp_data *data, const struct err *error)
{
	struct migration *m = ctx;

	if (has_failed(m, error))
		return;
	if (strcmp(qmp_string(data, "status"), "inmigrate") == 0)
		next(m);
	else
		finish(m, NULL);
}

static int submit(struct migration *m, const char *command, const char *arguments, qmp_done done,
		  struct err *err)
{
	uint64_t now = uv_now(m->timer.loop);

	(void)uv_timer_start(&m->timer, on_limit, now < m->deadline ? m->deadline - now : 0, 0);
	return qmp_send(m->qmp, command, arguments, done, m, err);
}

static void ask(struct migration *m, const char *command, const char *arguments, qmp_done done)
{
	struct err err = ERR_INIT;

	if (submit(m, command, arguments, done, &err) < 0)
		(void)has_failed(m, &err);
}

static void on_poll(uv_timer_t *timer)
{
	struct migration *m = timer->data;

	if (m->loading)
		ask(m, "query-status", NULL, on_loading);
	else
		ask(m, "query-migrate", NULL, on_saving);
}

static void on_step(void *ctx, const struct qmp_data *data, const struct err *error)
{
	struct migration *m = ctx;

	(void)data;
	if (has_failed(m, error))
		return;
	m->at++;
	next(m);
}

/* The next command; behind the last one, the next question. */
static void next(struct migration *m)
{
	const struct step *step = &m->steps[m->at];

	if (!step->command) {
		(void)uv_timer_start(&m->timer, on_poll, POLL_MS, 0);
		return;
	}
	if (step->passes_fd)
		qmp_pass_fd(m->qmp, take_fd(&m->fd));
	ask(m, step->command, step->arguments && !*step->arguments ? m->uri : step->arguments,
	    on_step);
}

/* Its first command needs no more than its name and arguments; not sent, nothing was begun. */
static int start(struct migration *m, const struct step *steps, struct err *err)
{
	m->steps = steps;
	m->at = 0;
	m->loading = steps == load_steps;
	uv_update_time(m->timer.loop);
	m->deadline = uv_now(m->timer.loop) + LIMIT_MS;
	if (submit(m, steps->command, steps->arguments, on_step, err) == 0)
		return 0;
	m->steps = NULL;
	(void)uv_timer_stop(&m->timer);
	close_fd(&m->fd);
	return -1;
}

int migration_save(struct migration *migration, int fd, struct err *err)
{
	if (migration->steps)
		return err_set(err, ERR_BUSY, "the machine's state is being moved already");
	migration->fd = dup(fd);
	if (migration->fd < 0)
		return err_sys(err, "descriptor for the machine's state");
	return start(migration, save_steps, err);
}

int migration_load(struct migration *migration, int qemu_fd, struct err *err)
{
	if (migration->steps)
		return err_set(err, ERR_BUSY, "the machine's state is being moved already");
	(void)snprintf(migration->uri, sizeof(migration->uri), "{\"uri\":\"fd:%d\"}", qemu_fd);
	return start(migration, load_steps, err);
}

struct migration *migration_new(uv_loop_t *loop, struct qmp *qmp, migration_done done, void *ctx)
{
	struct migration *migration = xcalloc(1, sizeof(*migration));

	*migration = (struct migration){.qmp = qmp, .done = done, .ctx = ctx, .fd = -1};
	(void)uv_timer_init(loop, &migration->timer);
	migration->timer.data = migration;
	return migration;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void migration_free(struct migration *migration)
{
	if (!migration)
		return;
	migration->steps = NULL;
	cleanup_close(&migration->fd);
	uv_close((uv_handle_t *)&migration->timer, on_closed);
}
