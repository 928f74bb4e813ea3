/*
 * Every decoder of messages. The first byte says which. What is accepted must be encoded to the
 * same bytes again (those that were read), and be refused when the last of them is missing, unless
 * that may be missing. What is
 * refused must be left empty: freeing it would crash otherwise.
 */
#include "base/cleanup.h"
#include "wire/message.h"
#include "wire/msg.h"
#include "wire/proto.h"

#include <stdlib.h>
#include <string.h>

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void same(const struct buf *buf, const uint8_t *data, size_t size)
{
	require(buf_length(buf) <= size && memcmp(buf_data(buf), data, buf_length(buf)) == 0);
}

#define ROUND_TRIP(name)                                                                           \
	static void try_##name(const uint8_t *data, size_t size)                                   \
	{                                                                                          \
		struct message_##name message;                                                     \
		struct err err;                                                                    \
		auto_buf struct buf buf;                                                           \
                                                                                                   \
		memset(&message, 0xff, sizeof(message));                                           \
		buf_init(&buf, PROTO_OPEN_MAX);                                                    \
		if (message_##name##_decode(&message, data, size, &err) < 0) {                     \
			DONE_##name(&message);                                                     \
			return;                                                                    \
		}                                                                                  \
		require(message_##name##_encode(&message, &buf) == 0);                             \
		same(&buf, data, size);                                                            \
		bool optional = OPTIONAL_##name(message);                                          \
		DONE_##name(&message);                                                             \
		if (optional)                                                                      \
			return;                                                                    \
		require(message_##name##_decode(&message, data, buf_length(&buf) - 1, &err) < 0);  \
	}

#define DONE_session(message)	message_session_done(message)
#define DONE_configure(message) message_configure_done(message)
#define DONE_status(message)	message_status_done(message)
#define DONE_window(message)	((void)0)
#define DONE_attach(message)	((void)0)
#define DONE_sessions(message)	message_sessions_done(message)
#define DONE_program(message)	message_program_done(message)

/* Whether a last field is there that need not be. */
#define OPTIONAL_session(message)   ((message).detach != PROTO_DETACH_NEVER)
#define OPTIONAL_configure(message) false
#define OPTIONAL_status(message)    ((message).idle_s > 0 || (message).kept)
#define OPTIONAL_window(message)    false
#define OPTIONAL_attach(message)    false
#define OPTIONAL_sessions(message)  message_sessions_tell_environments(&(message))
#define OPTIONAL_program(message)   false
ROUND_TRIP(session)
ROUND_TRIP(configure)
ROUND_TRIP(status)
ROUND_TRIP(window)
ROUND_TRIP(attach)
ROUND_TRIP(sessions)
ROUND_TRIP(program)

/* The reader itself, told by the bytes which field to read next. */
static void try_fields(const uint8_t *data, size_t size)
{
	struct msg_reader reader;
	uint8_t bytes[64];
	char **strings;

	msg_read_from(&reader, data, size);
	while (msg_ok(&reader) && reader.left > 0) {
		uint8_t what = msg_read_u8(&reader);
		auto_free char *string = NULL;

		switch (what % 7) {
		case 0:
			(void)msg_read_u16(&reader);
			break;
		case 1:
			(void)msg_read_u32(&reader);
			break;
		case 2:
			(void)msg_read_u64(&reader);
			break;
		case 3:
			string = msg_read_string(&reader, what);
			require(!string || strlen(string) <= what);
			break;
		case 4:
			strings = msg_read_strings(&reader, what, SIZE_MAX);
			require(!strings == !msg_ok(&reader));
			msg_free_strings(strings);
			break;
		case 5:
			msg_read_bytes(&reader, bytes, what % sizeof(bytes));
			break;
		default:
			break;
		}
		require(reader.at + reader.left == data + size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(const uint8_t *, size_t) = {
	    try_session, try_configure, try_status,   try_window,
	    try_fields,	 try_attach,	try_sessions, try_program};

	if (size > 0)
		tries[data[0] % ARRAY_SIZE(tries)](data + 1, size - 1);
	return 0;
}
