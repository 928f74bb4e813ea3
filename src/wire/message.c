/*
 * Theory of operation. Each message is a fixed sequence of fields (wire/msg.h). An encoder writes
 * them in order and remembers whether one did not fit. A decoder reads them in the same order with
 * the reader's sticky error, then checks what a type cannot say (a path is absolute, NAME=VALUE has
 * a name), and only then hands the struct out. Encoding is canonical: what a decoder accepted is
 * encoded to the same bytes again, which the fuzzer holds us to. Fields that later versions add at
 * the end are ignored here.
 */
#include "wire/message.h"

#include "wire/msg.h"
#include "wire/proto.h"

#include <stdlib.h>
#include <string.h>

static bool read_bool(struct msg_reader *reader)
{
	uint8_t value = msg_read_u8(reader);

	if (value > 1)
		reader->bad = true;
	return value == 1;
}

static bool empty_or_absolute(const char *path)
{
	return path[0] == '\0' || path[0] == '/';
}

/* Of a version that has others nothing is known but that they are not ours. */
static enum proto_detach read_detach(struct msg_reader *reader)
{
	uint8_t value = reader->left > 0 ? msg_read_u8(reader) : PROTO_DETACH_NEVER;

	return value < PROTO_DETACH_COUNT ? (enum proto_detach)value : PROTO_DETACH_NEVER;
}

/* One component of a path, or empty. */
static bool empty_or_name(const char *name)
{
	return !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int malformed(struct err *err, const char *message, const char *what)
{
	return err_set(err, ERR_PROTOCOL, "%s message: %s", message, what);
}

int message_session_encode(const struct message_session *session, struct buf *buf)
{
	bool bad = false;

	bad |= msg_write_u8(buf, session->tty) < 0;
	bad |= msg_write_u8(buf, session->login) < 0;
	bad |= msg_write_u16(buf, session->rows) < 0;
	bad |= msg_write_u16(buf, session->columns) < 0;
	bad |= msg_write_u16(buf, session->width) < 0;
	bad |= msg_write_u16(buf, session->height) < 0;
	bad |= msg_write_string(buf, session->user) < 0;
	bad |= msg_write_string(buf, session->cwd) < 0;
	bad |= msg_write_strings(buf, session->arguments) < 0;
	bad |= msg_write_strings(buf, session->environment) < 0;
	if (session->detach != PROTO_DETACH_NEVER)
		bad |= msg_write_u8(buf, (uint8_t)session->detach) < 0;
	return bad ? -1 : 0;
}

static int check_session(const struct message_session *session, struct err *err)
{
	for (char **entry = session->environment; *entry; entry++) {
		const char *equals = strchr(*entry, '=');

		if (!equals || equals == *entry)
			return malformed(err, "session", "an environment entry is not NAME=VALUE");
	}
	return 0;
}

int message_session_decode(struct message_session *ret_session, const void *bytes, size_t length,
			   struct err *err)
{
	struct message_session session = {.tty = false};
	struct msg_reader reader;

	*ret_session = session;
	msg_read_from(&reader, bytes, length);
	session.tty = read_bool(&reader);
	session.login = read_bool(&reader);
	session.rows = msg_read_u16(&reader);
	session.columns = msg_read_u16(&reader);
	session.width = msg_read_u16(&reader);
	session.height = msg_read_u16(&reader);
	session.user = msg_read_string(&reader, MESSAGE_NAME_MAX);
	session.cwd = msg_read_string(&reader, MESSAGE_PATH_MAX);
	session.arguments = msg_read_strings(&reader, MESSAGE_ARGUMENTS_MAX, PROTO_OPEN_MAX);
	session.environment = msg_read_strings(&reader, MESSAGE_ARGUMENTS_MAX, PROTO_OPEN_MAX);
	session.detach = read_detach(&reader);
	if (!msg_ok(&reader)) {
		message_session_done(&session);
		return malformed(err, "session", "a field is cut off or out of bounds");
	}
	if (check_session(&session, err) < 0) {
		message_session_done(&session);
		return -1;
	}
	*ret_session = session;
	return 0;
}

void message_session_done(struct message_session *session)
{
	free(session->user);
	free(session->cwd);
	msg_free_strings(session->arguments);
	msg_free_strings(session->environment);
	*session = (struct message_session){.tty = false};
}

int message_window_encode(const struct message_window *window, struct buf *buf)
{
	bool bad = false;

	bad |= msg_write_u16(buf, window->rows) < 0;
	bad |= msg_write_u16(buf, window->columns) < 0;
	bad |= msg_write_u16(buf, window->width) < 0;
	bad |= msg_write_u16(buf, window->height) < 0;
	return bad ? -1 : 0;
}

int message_window_decode(struct message_window *ret_window, const void *bytes, size_t length,
			  struct err *err)
{
	struct message_window window;
	struct msg_reader reader;

	*ret_window = (struct message_window){.rows = 0};
	msg_read_from(&reader, bytes, length);
	window.rows = msg_read_u16(&reader);
	window.columns = msg_read_u16(&reader);
	window.width = msg_read_u16(&reader);
	window.height = msg_read_u16(&reader);
	if (!msg_ok(&reader))
		return malformed(err, "window size", "it is cut off");
	*ret_window = window;
	return 0;
}

static bool write_share(struct buf *buf, const struct message_share *share)
{
	bool bad = false;

	bad |= msg_write_u32(buf, share->number) < 0;
	bad |= msg_write_string(buf, share->path) < 0;
	bad |= msg_write_string(buf, share->alias) < 0;
	bad |= msg_write_string(buf, share->local) < 0;
	bad |= msg_write_u8(buf, share->read_only) < 0;
	return !bad;
}

int message_configure_encode(const struct message_configure *configure, struct buf *buf)
{
	bool bad = configure->share_count > MESSAGE_SHARES_MAX;

	bad |= msg_write_string(buf, configure->hostname) < 0;
	bad |= msg_write_string(buf, configure->user) < 0;
	bad |= msg_write_u32(buf, configure->uid) < 0;
	bad |= msg_write_u32(buf, configure->gid) < 0;
	bad |= msg_write_string(buf, configure->shell) < 0;
	bad |= msg_write_string(buf, configure->timezone) < 0;
	bad |= buf_append(buf, configure->machine_id, sizeof(configure->machine_id)) < 0;
	bad |= buf_append(buf, configure->entropy, sizeof(configure->entropy)) < 0;
	bad |= msg_write_u64(buf, configure->time_ns) < 0;
	bad |= msg_write_string(buf, configure->project) < 0;
	bad |= msg_write_u8(buf, configure->network) < 0;
	bad |= msg_write_u32(buf, configure->share_count) < 0;
	for (uint32_t i = 0; !bad && i < configure->share_count; i++)
		bad |= !write_share(buf, &configure->shares[i]);
	return bad ? -1 : 0;
}

static void read_share(struct msg_reader *reader, struct message_share *share)
{
	share->number = msg_read_u32(reader);
	share->path = msg_read_string(reader, MESSAGE_PATH_MAX);
	share->alias = msg_read_string(reader, MESSAGE_PATH_MAX);
	share->local = msg_read_string(reader, MESSAGE_NAME_MAX);
	share->read_only = read_bool(reader);
}

static int check_configure(const struct message_configure *configure, struct err *err)
{
	if (!empty_or_absolute(configure->shell))
		return malformed(err, "configure", "the shell is not an absolute path");
	if (!empty_or_absolute(configure->project))
		return malformed(err, "configure", "the project is not an absolute path");
	if (!empty_or_name(configure->hostname) || !empty_or_name(configure->user))
		return malformed(err, "configure", "the host name or user is not a name");
	for (uint32_t i = 0; i < configure->share_count; i++) {
		const struct message_share *share = &configure->shares[i];

		if (share->path[0] != '/' || !empty_or_absolute(share->alias))
			return malformed(err, "configure", "a share's path is not absolute");
		if (!empty_or_name(share->local))
			return malformed(err, "configure",
					 "a share's local directory is not a plain name");
	}
	return 0;
}

int message_configure_decode(struct message_configure *ret_configure, const void *bytes,
			     size_t length, struct err *err)
{
	struct message_configure configure = {.uid = 0};
	struct msg_reader reader;

	*ret_configure = configure;
	msg_read_from(&reader, bytes, length);
	configure.hostname = msg_read_string(&reader, MESSAGE_NAME_MAX);
	configure.user = msg_read_string(&reader, MESSAGE_NAME_MAX);
	configure.uid = msg_read_u32(&reader);
	configure.gid = msg_read_u32(&reader);
	configure.shell = msg_read_string(&reader, MESSAGE_PATH_MAX);
	configure.timezone = msg_read_string(&reader, MESSAGE_NAME_MAX);
	msg_read_bytes(&reader, configure.machine_id, sizeof(configure.machine_id));
	msg_read_bytes(&reader, configure.entropy, sizeof(configure.entropy));
	configure.time_ns = msg_read_u64(&reader);
	configure.project = msg_read_string(&reader, MESSAGE_PATH_MAX);
	configure.network = read_bool(&reader);
	configure.share_count = msg_read_u32(&reader);
	if (configure.share_count > MESSAGE_SHARES_MAX) {
		configure.share_count = 0;
		reader.bad = true;
	}
	for (uint32_t i = 0; i < configure.share_count; i++)
		read_share(&reader, &configure.shares[i]);
	if (!msg_ok(&reader)) {
		message_configure_done(&configure);
		return malformed(err, "configure", "a field is cut off or out of bounds");
	}
	if (check_configure(&configure, err) < 0) {
		message_configure_done(&configure);
		return -1;
	}
	*ret_configure = configure;
	return 0;
}

void message_configure_done(struct message_configure *configure)
{
	free(configure->hostname);
	free(configure->user);
	free(configure->shell);
	free(configure->timezone);
	free(configure->project);
	for (uint32_t i = 0; i < configure->share_count; i++) {
		free(configure->shares[i].path);
		free(configure->shares[i].alias);
		free(configure->shares[i].local);
	}
	*configure = (struct message_configure){.uid = 0};
}

int message_status_encode(const struct message_status *status, struct buf *buf)
{
	bool bad = false;

	bad |= msg_write_string(buf, status->state) < 0;
	bad |= msg_write_string(buf, status->guest) < 0;
	bad |= msg_write_string(buf, status->accelerator) < 0;
	bad |= msg_write_u64(buf, status->uptime_ms) < 0;
	bad |= msg_write_u64(buf, status->memory_bytes) < 0;
	bad |= msg_write_u64(buf, status->resident_bytes) < 0;
	bad |= msg_write_u32(buf, status->cpus) < 0;
	bad |= msg_write_u32(buf, status->sessions) < 0;
	bad |= msg_write_u32(buf, status->supervisor_pid) < 0;
	bad |= msg_write_u32(buf, status->machine_pid) < 0;
	bad |= msg_write_u64(buf, status->boot_ms) < 0;
	if (status->idle_s > 0 || status->kept) {
		bad |= msg_write_u32(buf, status->idle_s) < 0;
		bad |= msg_write_u8(buf, status->kept) < 0;
	}
	return bad ? -1 : 0;
}

int message_status_decode(struct message_status *ret_status, const void *bytes, size_t length,
			  struct err *err)
{
	struct message_status status = {.cpus = 0};
	struct msg_reader reader;

	*ret_status = status;
	msg_read_from(&reader, bytes, length);
	status.state = msg_read_string(&reader, MESSAGE_NAME_MAX);
	status.guest = msg_read_string(&reader, MESSAGE_NAME_MAX);
	status.accelerator = msg_read_string(&reader, MESSAGE_NAME_MAX);
	status.uptime_ms = msg_read_u64(&reader);
	status.memory_bytes = msg_read_u64(&reader);
	status.resident_bytes = msg_read_u64(&reader);
	status.cpus = msg_read_u32(&reader);
	status.sessions = msg_read_u32(&reader);
	status.supervisor_pid = msg_read_u32(&reader);
	status.machine_pid = msg_read_u32(&reader);
	status.boot_ms = msg_read_u64(&reader);
	if (reader.left > 0) {
		status.idle_s = msg_read_u32(&reader);
		status.kept = read_bool(&reader);
	}
	if (!msg_ok(&reader)) {
		message_status_done(&status);
		return malformed(err, "status", "a field is cut off or out of bounds");
	}
	*ret_status = status;
	return 0;
}

void message_status_done(struct message_status *status)
{
	free(status->state);
	free(status->guest);
	free(status->accelerator);
	*status = (struct message_status){.cpus = 0};
}

int message_program_encode(const struct message_program *program, struct buf *buf)
{
	bool bad = false;

	bad |= msg_write_string(buf, program->name) < 0;
	bad |= msg_write_u32(buf, program->length) < 0;
	bad |= buf_append(buf, program->sha256, sizeof(program->sha256)) < 0;
	return bad ? -1 : 0;
}

int message_program_decode(struct message_program *ret_program, const void *bytes, size_t length,
			   struct err *err)
{
	struct message_program program = {.length = 0};
	struct msg_reader reader;

	*ret_program = program;
	msg_read_from(&reader, bytes, length);
	program.name = msg_read_string(&reader, MESSAGE_NAME_MAX);
	program.length = msg_read_u32(&reader);
	msg_read_bytes(&reader, program.sha256, sizeof(program.sha256));
	if (!msg_ok(&reader)) {
		message_program_done(&program);
		return malformed(err, "program", "a field is cut off or out of bounds");
	}
	if (program.length == 0 || program.length > PROTO_PROGRAM_MAX) {
		message_program_done(&program);
		return malformed(err, "program", "its length is out of bounds");
	}
	*ret_program = program;
	return 0;
}

void message_program_done(struct message_program *program)
{
	free(program->name);
	*program = (struct message_program){.length = 0};
}
