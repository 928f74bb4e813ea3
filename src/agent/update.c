/*
 * Theory of operation. The host offers a program by its hash. A worker compares that with what lies
 * on the disk; the answer says whether the bytes are wanted. They are collected in memory, bounded
 * by the announced length, and only when they are exactly what was announced a worker writes them:
 * to another name, synced, renamed. Whatever goes wrong before the rename, the old program stays,
 * and the program that runs is never touched: its inode lives on.
 *
 *	DESCRIBING ──▶ CHECKING ──▶ RECEIVING ──▶ WRITING ──▶ ENDED
 *	                   └── it is there already ─────────────▲
 *
 * The channel may be lost in each state; while a worker runs, its end is waited for.
 */
#include "agent/update.h"

#include "agent/worker.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "wire/message.h"

#include <fcntl.h>
#include <string.h>

enum update_state {
	UPDATE_DESCRIBING,
	UPDATE_CHECKING,
	UPDATE_RECEIVING,
	UPDATE_WRITING,
	UPDATE_ENDED,
};

struct update {
	struct updates *all;
	struct mux_channel *channel; /* NULL once it is over */
	enum update_state state;
	uint32_t announced; /* bytes of the description */
	struct buf description;
	struct message_program program;
	struct buf content; /* the worker's while it writes */
	bool eof;
	bool too_long;
	bool working;
	bool is_there;
	struct err err; /* of writing */
};

_Static_assert(sizeof(((struct message_program *)NULL)->sha256) == SHA256_SIZE, "a whole digest");

static void update_free(struct update *update)
{
	if (update->channel)
		mux_set_ops(update->channel, NULL, NULL);
	update->all->current = NULL;
	buf_done(&update->description);
	buf_done(&update->content);
	message_program_done(&update->program);
	free(update);
}

static void reject(struct update *update, enum proto_reject code, const char *text)
{
	mux_reject(update->channel, code, text);
	update_free(update);
}

static void end(struct update *update, const struct err *err)
{
	bool failed = err->code != ERR_NONE;

	update->state = UPDATE_ENDED;
	if (failed) {
		log_warn("update", "%s: %s", update->program.name, err->text);
		mux_send(update->channel, 0, err->text, strlen(err->text));
	} else if (!update->is_there) {
		log_info("update", "%s is replaced from its next start on", update->program.name);
	}
	mux_eof(update->channel);
	mux_exit(update->channel, PROTO_EXITED, failed);
	mux_close(update->channel);
}

/* -- what a worker does -- */

static bool is_announced(const struct update *update, const void *bytes, size_t length)
{
	uint8_t digest[SHA256_SIZE];

	if (length != update->program.length)
		return false;
	sha256(bytes, length, digest);
	return memcmp(digest, update->program.sha256, sizeof(digest)) == 0;
}

static bool check(const struct update *update, int directory)
{
	auto_free char *old = NULL;
	struct err ignored = ERR_INIT;
	size_t length;

	return file_read(directory, update->program.name, PROTO_PROGRAM_MAX, &old, &length,
			 &ignored) == 0 &&
	       is_announced(update, old, length);
}

static void work(void *arg)
{
	struct update *update = arg;
	const struct buf *content = &update->content;
	auto_close int directory = open(update->all->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (directory < 0)
		(void)err_sys(&update->err, "%s", update->all->directory);
	else if (update->state == UPDATE_CHECKING)
		update->is_there = check(update, directory);
	else if (!is_announced(update, buf_data(content), buf_length(content)))
		(void)err_set(&update->err, ERR_INVALID,
			      "what came is not what was announced: its SHA-256 differs");
	else
		(void)file_write_atomic(directory, update->program.name, buf_data(content),
					buf_length(content), 0755, &update->err);
}

/* -- what follows from it -- */

static void advance(struct update *update);

static void work_done(void *arg)
{
	struct update *update = arg;
	const uint8_t wanted = !update->is_there;

	update->working = false;
	if (!update->channel) {
		update_free(update);
		return;
	}
	if (update->state == UPDATE_WRITING) {
		end(update, &update->err);
		return;
	}
	mux_accept(update->channel, &wanted, sizeof(wanted));
	update->state = UPDATE_RECEIVING;
	advance(update);
}

static int start_work(struct update *update, enum update_state state, struct err *err)
{
	update->state = state;
	if (worker_run(update->all->loop, work, work_done, update, err) < 0)
		return -1;
	update->working = true;
	return 0;
}

/* What is wrong with what came; ERR_NONE if it is to be written. */
static void judge(const struct update *update, struct err *err)
{
	const uint32_t announced = update->program.length;

	if (update->too_long)
		(void)err_set(err, ERR_INVALID, "more than the announced %u bytes came", announced);
	else if (buf_length(&update->content) < announced)
		(void)err_set(err, ERR_INVALID, "only %zu of %u bytes came",
			      buf_length(&update->content), announced);
}

/* Goes on from RECEIVING where that is possible. */
static void advance(struct update *update)
{
	if (update->state != UPDATE_RECEIVING)
		return;
	if (!update->is_there) {
		if (!update->eof && !update->too_long)
			return;
		judge(update, &update->err);
		if (update->err.code == ERR_NONE &&
		    start_work(update, UPDATE_WRITING, &update->err) == 0)
			return;
	}
	end(update, &update->err);
}

static bool is_known(const char *name)
{
	return strcmp(name, "dxvm-agent") == 0 || strcmp(name, "dxvm-devbox") == 0;
}

static void described(struct update *update)
{
	struct message_program *program = &update->program;
	struct err err = ERR_INIT;

	if (message_program_decode(program, buf_data(&update->description),
				   buf_length(&update->description), &err) < 0) {
		reject(update, PROTO_BAD_REQUEST, err.text);
		return;
	}
	if (!is_known(program->name)) {
		reject(update, PROTO_NOT_FOUND, "this guest has no program of that name");
		return;
	}
	buf_init(&update->content, program->length);
	if (start_work(update, UPDATE_CHECKING, &err) < 0)
		reject(update, PROTO_NO_RESOURCES, err.text);
}

/* -- the channel -- */

static void on_data(struct mux_channel *channel, uint8_t flags, const uint8_t *bytes, size_t length)
{
	struct update *update = mux_user(channel);

	(void)flags;
	mux_consume(channel, (uint32_t)length); /* what is kept of it is bounded */
	if (update->state == UPDATE_DESCRIBING) {
		size_t missing = update->announced - buf_length(&update->description);
		size_t part = missing < length ? missing : length;

		(void)buf_append(&update->description, bytes, part);
		bytes += part;
		length -= part;
		if (part == missing)
			described(update);
		update = mux_user(channel); /* which may have been rejected */
	}
	if (!update || length == 0 || update->state > UPDATE_RECEIVING)
		return;
	if (buf_append(&update->content, bytes, length) < 0)
		update->too_long = true;
	advance(update);
}

static void on_eof(struct mux_channel *channel)
{
	struct update *update = mux_user(channel);

	update->eof = true;
	if (update->state == UPDATE_DESCRIBING)
		reject(update, PROTO_BAD_REQUEST, "the description of the program is cut");
	else
		advance(update);
}

static void on_closing(struct mux_channel *channel)
{
	mux_close(channel);
}

static void on_closed(struct mux_channel *channel, bool lost)
{
	struct update *update = mux_user(channel);

	(void)lost;
	update->channel = NULL;
	if (!update->working)
		update_free(update);
}

static const struct mux_channel_ops update_ops = {
    .data = on_data,
    .eof = on_eof,
    .closing = on_closing,
    .closed = on_closed,
};

void updates_open(struct updates *updates, struct mux_channel *channel, uint32_t length)
{
	struct update *update;

	if (!updates->directory) {
		mux_reject(channel, PROTO_NOT_FOUND, "this guest has no program of ours on a disk");
		return;
	}
	if (updates->current) {
		mux_reject(channel, PROTO_NO_RESOURCES, "another program is being taken");
		return;
	}
	if (length == 0 || length > MESSAGE_PROGRAM_BYTES) {
		mux_reject(channel, PROTO_BAD_REQUEST, "no description of a program");
		return;
	}
	update = xcalloc(1, sizeof(*update));
	update->all = updates;
	update->channel = channel;
	update->announced = length;
	buf_init(&update->description, length);
	buf_init(&update->content, 0);
	updates->current = update;
	mux_set_ops(channel, &update_ops, update);
}
