/* Messages about the sessions that are there: the list of them, and attaching to one. */
#include "base/mem.h"
#include "wire/message.h"
#include "wire/msg.h"

#include <stdlib.h>

int message_attach_encode(const struct message_attach *attach, struct buf *buf)
{
	bool bad = false;

	bad |= msg_write_u32(buf, attach->id) < 0;
	bad |= message_window_encode(&attach->window, buf) < 0;
	bad |= msg_write_u8(buf, attach->take) < 0;
	return bad ? -1 : 0;
}

int message_attach_decode(struct message_attach *ret_attach, const void *bytes, size_t length,
			  struct err *err)
{
	struct message_attach attach = {.id = 0};
	struct msg_reader reader;
	uint8_t take;

	*ret_attach = attach;
	msg_read_from(&reader, bytes, length);
	attach.id = msg_read_u32(&reader);
	attach.window.rows = msg_read_u16(&reader);
	attach.window.columns = msg_read_u16(&reader);
	attach.window.width = msg_read_u16(&reader);
	attach.window.height = msg_read_u16(&reader);
	take = msg_read_u8(&reader);
	attach.take = take;
	if (!msg_ok(&reader) || take > 1)
		return err_set(err, ERR_PROTOCOL, "attach message: it is cut off or out of bounds");
	*ret_attach = attach;
	return 0;
}

static bool write_listed(struct buf *buf, const struct message_listed *listed)
{
	bool bad = false;

	bad |= msg_write_u32(buf, listed->id) < 0;
	bad |= msg_write_u8(buf, (uint8_t)listed->state) < 0;
	bad |= msg_write_u8(buf, (uint8_t)listed->detach) < 0;
	bad |= msg_write_u64(buf, listed->started_s) < 0;
	bad |= msg_write_u16(buf, listed->rows) < 0;
	bad |= msg_write_u16(buf, listed->columns) < 0;
	bad |= msg_write_u8(buf, (uint8_t)listed->how) < 0;
	bad |= msg_write_u32(buf, listed->value) < 0;
	bad |= msg_write_string(buf, listed->command) < 0;
	return !bad;
}

bool message_sessions_tell_environments(const struct message_sessions *sessions)
{
	for (uint32_t i = 0; i < sessions->count; i++)
		if (sessions->listed[i].environment)
			return true;
	return false;
}

int message_sessions_encode(const struct message_sessions *sessions, struct buf *buf)
{
	bool bad = msg_write_u32(buf, sessions->count) < 0;

	for (uint32_t i = 0; i < sessions->count; i++)
		bad |= !write_listed(buf, &sessions->listed[i]);
	if (message_sessions_tell_environments(sessions))
		for (uint32_t i = 0; i < sessions->count; i++)
			bad |= msg_write_u64(buf, sessions->listed[i].environment) < 0;
	return bad ? -1 : 0;
}

/* One of the values below `count`. */
static uint8_t read_choice(struct msg_reader *reader, uint8_t count)
{
	uint8_t value = msg_read_u8(reader);

	if (value < count)
		return value;
	reader->bad = true;
	return 0;
}

static void read_listed(struct msg_reader *reader, struct message_listed *listed)
{
	listed->id = msg_read_u32(reader);
	listed->state = (enum proto_session_state)read_choice(reader, PROTO_SESSION_STATE_COUNT);
	listed->detach = (enum proto_detach)read_choice(reader, PROTO_DETACH_COUNT);
	listed->started_s = msg_read_u64(reader);
	listed->rows = msg_read_u16(reader);
	listed->columns = msg_read_u16(reader);
	listed->how = (enum proto_exit)read_choice(reader, PROTO_SIGNALED + 1);
	listed->value = msg_read_u32(reader);
	listed->command = msg_read_string(reader, MESSAGE_COMMAND_MAX);
}

int message_sessions_decode(struct message_sessions *ret_sessions, const void *bytes, size_t length,
			    struct err *err)
{
	struct message_sessions sessions = {.count = 0};
	struct msg_reader reader;
	uint32_t count;

	*ret_sessions = sessions;
	msg_read_from(&reader, bytes, length);
	count = msg_read_u32(&reader);
	if (count > MESSAGE_SESSIONS_MAX) {
		reader.bad = true;
		count = 0;
	}
	sessions.listed = xcalloc(count + 1, sizeof(*sessions.listed));
	while (sessions.count < count && msg_ok(&reader))
		read_listed(&reader, &sessions.listed[sessions.count++]);
	if (reader.left >= sessions.count * sizeof(uint64_t))
		for (uint32_t i = 0; i < sessions.count; i++)
			sessions.listed[i].environment = msg_read_u64(&reader);
	if (!msg_ok(&reader)) {
		message_sessions_done(&sessions);
		return err_set(err, ERR_PROTOCOL,
			       "sessions message: a field is cut off or out of bounds");
	}
	*ret_sessions = sessions;
	return 0;
}

void message_sessions_done(struct message_sessions *sessions)
{
	for (uint32_t i = 0; i < sessions->count; i++)
		free(sessions->listed[i].command);
	free(sessions->listed);
	*sessions = (struct message_sessions){.count = 0};
}
