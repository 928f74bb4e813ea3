#include "supervisor/update.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sha256.h"
#include "wire/message.h"

#include <fcntl.h>

#define WORDS_MAX ((size_t)512) /* of what a guest says to it, for the log */

static const struct {
	const char *room;
	const char *name;
} programs[] = {
    {"agent", "dxvm-agent"},
    {"devbox", "dxvm-devbox"},
};

struct update {
	struct mux *agent;
	size_t index; /* in `programs` */
	char *content;
	size_t length;
	size_t sent;
	bool wanted;
	bool exited;
	uint32_t status;
	struct buf words; /* why it did not work, in the guest's words */
};

static void update_free(struct update *update)
{
	free(update->content);
	buf_done(&update->words);
	free(update);
}

static void offer(struct update *update);

static void send_on(struct update *update, struct mux_channel *channel)
{
	size_t left = update->length - update->sent;
	size_t part = left < mux_window(channel) ? left : mux_window(channel);

	if (!update->wanted || left == 0)
		return;
	mux_send(channel, 0, update->content + update->sent, part);
	update->sent += part;
	if (part == left)
		mux_eof(channel);
}

static void on_accepted(struct mux_channel *channel, const uint8_t *payload, size_t length)
{
	struct update *update = mux_user(channel);

	update->wanted = length > 0 && payload[0] == 1;
	send_on(update, channel);
}

static void on_rejected(struct mux_channel *channel, uint32_t code, const char *text)
{
	struct update *update = mux_user(channel);

	(void)code;
	(void)buf_append_string(&update->words, text);
}

static void on_data(struct mux_channel *channel, uint8_t flags, const uint8_t *bytes, size_t length)
{
	struct update *update = mux_user(channel);
	size_t room = buf_room(&update->words);

	(void)flags;
	(void)buf_append(&update->words, bytes, length < room ? length : room);
	mux_consume(channel, (uint32_t)length);
}

static void on_exit_status(struct mux_channel *channel, enum proto_exit how, uint32_t value)
{
	struct update *update = mux_user(channel);

	update->exited = true;
	update->status = how == PROTO_EXITED ? value : 1;
}

static void on_credit(struct mux_channel *channel, uint32_t bytes)
{
	(void)bytes;
	send_on(mux_user(channel), channel);
}

static void tell(struct update *update)
{
	const char *name = programs[update->index].name;
	auto_free char *words = buf_take_string(&update->words);

	if (!update->exited || update->status != 0)
		log_warn("update", "the guest keeps the %s it has: %s", name,
			 *words ? words : "it does not say why");
	else if (update->wanted)
		log_info("update", "the guest has a new %s, used from its next start on", name);
}

static void on_closed(struct mux_channel *channel, bool lost)
{
	struct update *update = mux_user(channel);

	if (lost) {
		update_free(update);
		return;
	}
	tell(update);
	update->index++;
	offer(update);
}

static const struct mux_channel_ops update_ops = {
    .accepted = on_accepted,
    .rejected = on_rejected,
    .data = on_data,
    .exit = on_exit_status,
    .credit = on_credit,
    .closed = on_closed,
};

static int read_program(struct update *update, const char *room, const char *name, struct err *err)
{
	auto_free char *path = path_program(room, name, err);
	auto_free char *real = path ? realpath(path, NULL) : NULL; /* links are fine there */

	if (!path)
		return -1;
	if (!real)
		return err_sys(err, "%s", path);
	free(take_ptr(&update->content));
	if (file_read(AT_FDCWD, real, PROTO_PROGRAM_MAX, &update->content, &update->length, err) <
	    0)
		return -1;
	return update->length > 0 ? 0 : err_set(err, ERR_INVALID, "%s is empty", path);
}

static int open_channel(struct update *update, const char *name, struct err *err)
{
	struct message_program program = {.name = xstrdup(name),
					  .length = (uint32_t)update->length};
	auto_buf struct buf description;
	struct mux_channel *channel;

	buf_init(&description, MESSAGE_PROGRAM_BYTES);
	sha256(update->content, update->length, program.sha256);
	(void)message_program_encode(&program, &description);
	message_program_done(&program);
	channel = mux_open(update->agent, PROTO_KIND_PROGRAM, (uint32_t)buf_length(&description),
			   &update_ops, update, err);
	if (!channel)
		return -1;
	mux_send(channel, 0, buf_data(&description), buf_length(&description));
	return 0;
}

/* The next one; frees itself when there is none. */
static void offer(struct update *update)
{
	for (; update->index < ARRAY_SIZE(programs); update->index++) {
		const char *name = programs[update->index].name;
		struct err err = ERR_INIT;

		update->sent = 0;
		update->wanted = update->exited = false;
		buf_clear(&update->words);
		if (read_program(update, programs[update->index].room, name, &err) == 0 &&
		    open_channel(update, name, &err) == 0)
			return;
		log_warn("update", "%s: %s", name, err.text);
	}
	update_free(update);
}

void update_offer(struct mux *agent)
{
	struct update *update = xcalloc(1, sizeof(*update));

	update->agent = agent;
	buf_init(&update->words, WORDS_MAX);
	offer(update);
}
