/* The supervisor's end of the agent port, with an agent made by hand at the other. */
#include "supervisor/agent_link.h"

#include "base/file.h"
#include "base/mem.h"
#include "unit/mux_rig.h"
#include "unit/test.h"

#include <sys/socket.h>

struct fixture {
	uv_loop_t loop;
	struct agent_link *link;
	struct message_configure configure;
	struct buf bytes; /* to the link */
	int fd;
	bool ready;
	int restarts;
	int answers;
};

static void on_hello(void *ctx, const struct mux_hello *hello)
{
	(void)ctx;
	(void)hello;
}

static void on_ready(void *ctx)
{
	((struct fixture *)ctx)->ready = true;
}

static void on_not_at_rest(void *ctx)
{
	((struct fixture *)ctx)->restarts++;
}

static void on_activity(void *ctx, uint64_t cpu_us)
{
	(void)cpu_us;
	((struct fixture *)ctx)->answers++;
}

static const struct agent_link_events events = {
    .hello = on_hello, .ready = on_ready, .not_at_rest = on_not_at_rest, .activity = on_activity};

/* Hands over what is in `bytes`; the link answers. */
static void deliver(struct fixture *f)
{
	CHECK_INT(send(f->fd, buf_data(&f->bytes), buf_length(&f->bytes), 0),
		  buf_length(&f->bytes));
	buf_clear(&f->bytes);
	for (int i = 0; i < 5; i++)
		(void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

/* A reply with code 0 to the request of that id, and eight zeros. */
static void reply(struct fixture *f, uint8_t id)
{
	const uint8_t payload[16] = {0, 0, 0, id};

	frame_append(&f->bytes, PROTO_REPLY, 0, 0, payload, sizeof(payload));
	deliver(f);
}

/* How many requests of that kind came since the last call. */
static int requests(struct fixture *f, uint8_t what)
{
	static uint8_t bytes[1 << 20];
	ssize_t length;
	int count = 0;

	for (int i = 0; i < 5; i++)
		(void)uv_run(&f->loop, UV_RUN_NOWAIT);
	length = recv(f->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	for (ssize_t at = 0; at + PROTO_FRAME_HEADER < length;) {
		struct frame frame;

		if (!frame_decode(bytes + at, PROTO_PAYLOAD_MAX, &frame)) {
			at++; /* a run of zeros */
			continue;
		}
		count += frame.type == PROTO_REQUEST && bytes[at + PROTO_FRAME_HEADER + 5] == what;
		at += PROTO_FRAME_HEADER + frame.length + 1;
	}
	return count;
}

static void fixture_init(struct fixture *f)
{
	struct err err = ERR_INIT;
	int theirs = -1;

	*f = (struct fixture){.fd = -1};
	(void)uv_loop_init(&f->loop);
	buf_init(&f->bytes, 1u << 20);
	CHECK_INT(file_socketpair(&f->fd, &theirs, &err), 0);
	f->link = agent_link_new(&f->loop, theirs, &f->configure, false, &events, f);
	hello_append(&f->bytes, 1, 1, 1, 0, "agent");
	deliver(f);
	CHECK_INT(requests(f, PROTO_CONFIGURE), 1);
	reply(f, 1);
	CHECK(f->ready);
}

static void fixture_done(struct fixture *f)
{
	agent_link_free(f->link);
	(void)uv_run(&f->loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&f->loop);
	(void)close(f->fd);
	buf_done(&f->bytes);
}
#define auto_fixture CLEANUP(fixture_done)

static void who_does_not_answer_is_not_asked_again(void)
{
	auto_fixture struct fixture f;
	int asked = 0;

	fixture_init(&f);
	for (int i = 0; i < 20000; i++)
		asked += agent_link_ask_activity(f.link);
	CHECK_INT(asked, 20000);
	CHECK_INT(requests(&f, PROTO_ACTIVITY), 1);
	reply(&f, 5);
	CHECK_INT(f.answers, 1);
	CHECK(agent_link_ask_activity(f.link));
	CHECK_INT(requests(&f, PROTO_ACTIVITY), 1);
	/* There is room for what matters. */
	CHECK(agent_link_shutdown(f.link));
	CHECK_INT(requests(&f, PROTO_SHUTDOWN), 1);
}

static void an_agent_that_was_restarted_is_asked_anew(void)
{
	static const uint8_t zeros[PROTO_RESYNC_RUN];
	auto_fixture struct fixture f;

	fixture_init(&f);
	CHECK(agent_link_ask_activity(f.link));
	CHECK(agent_link_quiesce(f.link));
	(void)requests(&f, 0);
	(void)buf_append(&f.bytes, zeros, sizeof(zeros));
	hello_append(&f.bytes, 1, 1, 77, 0, "again");
	deliver(&f);
	CHECK_INT(f.restarts, 1);
	CHECK_INT(requests(&f, PROTO_CONFIGURE), 1);
	reply(&f, 1);
	CHECK(agent_link_ask_activity(f.link));
	CHECK_INT(requests(&f, PROTO_ACTIVITY), 1);
}

TEST_MAIN(TEST(who_does_not_answer_is_not_asked_again),
	  TEST(an_agent_that_was_restarted_is_asked_anew))
