/*
 * Input goes into a buffer with a ceiling; each complete line is parsed and handled at once. Output
 * is one more bounded buffer that the poll callback empties, so that qmp_send never fails by the
 * peer's doing and never calls back. Commands wait in a list in the order they were sent; QEMU
 * echoes our id, by which an answer finds its command.
 *
 * `greeted` and `ready` are the handshake: the greeting, then our qmp_capabilities and its answer.
 * Commands sent before that are kept as text in `held`.
 */
#include "vm/qmp.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/safe_text.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define OUTPUT_MAX   ((size_t)65536)
#define READ_SIZE    ((size_t)16384)
#define COMMANDS_MAX 64

#ifdef MSG_NOSIGNAL
#define SEND_FLAGS MSG_NOSIGNAL
#else
#define SEND_FLAGS 0
#endif

struct command {
	struct list link;
	int64_t id;
	qmp_done done;
	void *ctx;
};

struct qmp {
	int fd;
	const struct qmp_events *events;
	void *ctx;
	struct buf input;
	struct buf output;
	struct buf held; /* until the handshake is done */
	struct list commands;
	int command_count;
	int64_t last_id;
	bool greeted;
	bool ready;
	bool over;    /* the link is; `closed` was or is being called */
	bool closing; /* qmp_close was called */
	int passed;   /* descriptor that goes with the next bytes, or -1 */
	uv_poll_t poll;
};

/* -- commands -- */

static void drop_command(struct qmp *qmp, struct command *command)
{
	list_remove(&command->link);
	qmp->command_count--;
	free(command);
}

/* Ends the link: every waiting command hears why, then the owner. Each callback may close us. */
static void end(struct qmp *qmp, const struct err *why)
{
	if (qmp->over)
		return;
	qmp->over = true;
	(void)uv_poll_stop(&qmp->poll);
	while (!list_empty(&qmp->commands) && !qmp->closing) {
		struct command *command = list_entry(qmp->commands.next, struct command, link);
		qmp_done done = command->done;
		void *ctx = command->ctx;

		drop_command(qmp, command);
		if (done)
			done(ctx, NULL, why);
	}
	if (!qmp->closing && qmp->events->closed)
		qmp->events->closed(qmp->ctx, why);
}

static void end_protocol(struct qmp *qmp, const char *text)
{
	struct err why = ERR_INIT;

	(void)err_set(&why, ERR_PROTOCOL, "QMP: %s", text);
	end(qmp, &why);
}

static void on_ready(struct qmp *qmp)
{
	qmp->ready = true;
	if (buf_append(&qmp->output, buf_data(&qmp->held), buf_length(&qmp->held)) < 0) {
		end_protocol(qmp, "too much waits to be sent");
		return;
	}
	buf_clear(&qmp->held);
	if (qmp->events->ready)
		qmp->events->ready(qmp->ctx);
}

static void answer(struct qmp *qmp, const struct qmp_line *line)
{
	struct err error = ERR_INIT;
	struct command *command = NULL;
	qmp_done done;
	void *ctx;

	list_each(link, tmp, &qmp->commands) {
		struct command *one = list_entry(link, struct command, link);

		if (one->id == line->id)
			command = one;
	}
	if (!command) {
		end_protocol(qmp, "an answer to nothing that was asked");
		return;
	}
	done = command->done;
	ctx = command->ctx;
	drop_command(qmp, command);
	if (!done)
		return;
	if (line->kind == QMP_ERROR) {
		auto_free char *words = safe_text(line->name, strlen(line->name), SAFE_TEXT_LINE);

		(void)err_set(&error, ERR_GUEST, "QEMU says: %s", words);
		done(ctx, NULL, &error);
		return;
	}
	done(ctx, qmp_member(line->data, "return"), NULL);
}

static void on_capabilities(void *ctx, const struct qmp_data *data, const struct err *error)
{
	struct qmp *qmp = ctx;

	(void)data;
	if (!error)
		on_ready(qmp);
	else if (!qmp->over)
		end(qmp, error);
}

static int append_command(struct qmp *qmp, struct buf *to, const char *name, const char *arguments,
			  qmp_done done, void *ctx, struct err *err)
{
	int64_t id = qmp->last_id + 1;
	struct command *command;

	if (qmp->command_count >= COMMANDS_MAX ||
	    buf_printf(to, "{\"execute\":\"%s\",\"id\":%lld%s%s}\n", name, (long long)id,
		       arguments ? ",\"arguments\":" : "", arguments ? arguments : "") < 0)
		return err_set(err, ERR_BUSY, "QMP %s: too much waits for QEMU already", name);
	qmp->last_id = id;
	command = xcalloc(1, sizeof(*command));
	*command = (struct command){.id = id, .done = done, .ctx = ctx};
	list_append(&qmp->commands, &command->link);
	qmp->command_count++;
	return 0;
}

/* -- the link -- */

static void greet(struct qmp *qmp)
{
	struct err err = ERR_INIT;

	qmp->greeted = true;
	if (append_command(qmp, &qmp->output, "qmp_capabilities", NULL, on_capabilities, qmp,
			   &err) < 0)
		end(qmp, &err);
}

static void handle(struct qmp *qmp, const struct qmp_line *line)
{
	if (line->kind == QMP_GREETING && !qmp->greeted)
		greet(qmp);
	else if (line->kind == QMP_GREETING)
		end_protocol(qmp, "a second greeting");
	else if (!qmp->greeted)
		end_protocol(qmp, "no greeting");
	else if (line->kind != QMP_EVENT)
		answer(qmp, line);
	else if (qmp->events->event)
		qmp->events->event(qmp->ctx, line->name, qmp_member(line->data, "data"));
}

static void handle_lines(struct qmp *qmp)
{
	const char *text;
	const char *newline;

	while (!qmp->over && !qmp->closing) {
		struct qmp_line line;
		struct err err = ERR_INIT;
		size_t length;

		text = (const char *)buf_data(&qmp->input);
		newline = memchr(text, '\n', buf_length(&qmp->input));
		if (!newline)
			break;
		length = (size_t)(newline - text);
		if (qmp_line_parse(text, length, &line, &err) < 0) {
			end(qmp, &err);
			break;
		}
		buf_consume(&qmp->input, length + 1);
		handle(qmp, &line);
		qmp_line_done(&line);
	}
	if (!qmp->over && !qmp->closing && buf_room(&qmp->input) == 0)
		end_protocol(qmp, "a line without end");
}

static void end_errno(struct qmp *qmp, int sys)
{
	struct err why = ERR_INIT;

	errno = sys;
	(void)err_sys(&why, "QMP");
	end(qmp, &why);
}

static void end_eof(struct qmp *qmp)
{
	struct err why = ERR_INIT;

	(void)err_set(&why, ERR_SYSTEM, "QMP: QEMU closed the link");
	end(qmp, &why);
}

static void read_input(struct qmp *qmp)
{
	size_t room = buf_room(&qmp->input);
	size_t size = room < READ_SIZE ? room : READ_SIZE;
	uint8_t *space = buf_reserve(&qmp->input, size);
	ssize_t n = read(qmp->fd, space, size);

	if (n > 0) {
		buf_commit(&qmp->input, (size_t)n);
		handle_lines(qmp);
	} else if (n == 0) {
		end_eof(qmp);
	} else if (errno != EAGAIN && errno != EINTR) {
		end_errno(qmp, errno);
	}
}

static ssize_t send_output(struct qmp *qmp)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec bytes = {
	    .iov_base = (void *)(uintptr_t)buf_data(&qmp->output),
	    .iov_len = buf_length(&qmp->output),
	};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};

	if (qmp->passed >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		control.header = (struct cmsghdr){
		    .cmsg_len = CMSG_LEN(sizeof(int)),
		    .cmsg_level = SOL_SOCKET,
		    .cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(&control.header), &qmp->passed, sizeof(int));
	}
	return sendmsg(qmp->fd, &message, SEND_FLAGS);
}

static void write_output(struct qmp *qmp)
{
	ssize_t n = send_output(qmp);

	if (n > 0 && qmp->passed >= 0)
		close_fd(&qmp->passed);
	if (n >= 0)
		buf_consume(&qmp->output, (size_t)n);
	else if (errno != EAGAIN && errno != EINTR)
		end_errno(qmp, errno);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct qmp *qmp)
{
	int events = UV_READABLE | (buf_length(&qmp->output) ? UV_WRITABLE : 0);

	if (!qmp->over && !qmp->closing)
		(void)uv_poll_start(&qmp->poll, events, on_poll);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct qmp *qmp = poll->data;

	if (status < 0 || events & UV_READABLE)
		read_input(qmp);
	if (!qmp->over && !qmp->closing && buf_length(&qmp->output))
		write_output(qmp);
	watch(qmp);
}

int qmp_open(uv_loop_t *loop, int fd, const struct qmp_events *events, void *ctx,
	     struct qmp **ret_qmp, struct err *err)
{
	auto_close int link = fd;
	struct qmp *qmp = xcalloc(1, sizeof(*qmp));

	*qmp = (struct qmp){.events = events, .ctx = ctx, .passed = -1};
	if (uv_poll_init(loop, &qmp->poll, link) != 0) {
		free(qmp);
		return err_set(err, ERR_SYSTEM, "watch the link to QEMU");
	}
	qmp->fd = take_fd(&link);
	qmp->poll.data = qmp;
	buf_init(&qmp->input, QMP_LINE_MAX + 1);
	buf_init(&qmp->output, 2 * OUTPUT_MAX);
	buf_init(&qmp->held, OUTPUT_MAX);
	list_init(&qmp->commands);
	watch(qmp);
	*ret_qmp = qmp;
	return 0;
}

int qmp_send(struct qmp *qmp, const char *command, const char *arguments, qmp_done done, void *ctx,
	     struct err *err)
{
	if (qmp->over)
		return err_set(err, ERR_PROTOCOL, "QMP %s: the link to QEMU is over", command);
	if (arguments && (!qmp_is_object(arguments) || strchr(arguments, '\n')))
		return err_set(err, ERR_INVALID, "QMP %s: arguments are no JSON object", command);
	if (append_command(qmp, qmp->ready ? &qmp->output : &qmp->held, command, arguments, done,
			   ctx, err) < 0)
		return -1;
	watch(qmp);
	return 0;
}

void qmp_pass_fd(struct qmp *qmp, int fd)
{
	cleanup_close(&qmp->passed);
	qmp->passed = fd;
}

static void on_closed(uv_handle_t *handle)
{
	struct qmp *qmp = handle->data;

	list_each(link, tmp, &qmp->commands)
		free(list_entry(link, struct command, link));
	buf_done(&qmp->input);
	buf_done(&qmp->output);
	buf_done(&qmp->held);
	cleanup_close(&qmp->passed);
	(void)close(qmp->fd);
	free(qmp);
}

void qmp_close(struct qmp *qmp)
{
	if (!qmp || qmp->closing)
		return;
	qmp->closing = true;
	uv_close((uv_handle_t *)&qmp->poll, on_closed);
}
