/* The end of a connection, as the supervisor sees it. */
#include "supervisor/link.h"

#include "base/file.h"
#include "base/mem.h"
#include "unit/mux_rig.h"
#include "unit/test.h"

#include <sys/socket.h>

struct fixture {
	uv_loop_t loop;
	struct link *link;
	int fd; /* the other end */
	int requests;
	int downs;
	enum link_end end;
	char why[256];
};

static void on_request(void *ctx, uint32_t id, uint16_t what, const uint8_t *payload, size_t length)
{
	(void)id;
	(void)what;
	(void)payload;
	(void)length;
	((struct fixture *)ctx)->requests++;
}

static void on_down(void *ctx, enum link_end end, const char *why)
{
	struct fixture *f = ctx;

	f->downs++;
	f->end = end;
	(void)snprintf(f->why, sizeof(f->why), "%s", why);
	link_free(take_ptr(&f->link));
}

static const struct mux_events events = {.request = on_request};

static void fixture_init(struct fixture *f)
{
	struct mux *mux = mux_new(MUX_GUEST, &events, f);
	struct mux_hello hello = {.program = "test"};
	struct err err = ERR_INIT;
	int theirs = -1;

	*f = (struct fixture){.fd = -1};
	(void)uv_loop_init(&f->loop);
	CHECK_INT(file_socketpair(&f->fd, &theirs, &err), 0);
	mux_start(mux, &hello, false);
	f->link = link_new(&f->loop, theirs, mux, on_down, f);
}

static void fixture_done(struct fixture *f)
{
	link_free(f->link);
	(void)uv_run(&f->loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&f->loop);
	cleanup_close(&f->fd);
}
#define auto_fixture CLEANUP(fixture_done)

static void run(struct fixture *f)
{
	for (int i = 0; i < 10; i++)
		(void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

/* It has not read our HELLO: that is a reset. */
static void what_came_before_a_reset_is_heard_and_the_reason_is_true(void)
{
	auto_fixture struct fixture f;
	auto_buf struct buf bytes;
	static const uint8_t keep[PROTO_PAYLOAD_MAX] = {0, 0, 0, 0, 0, PROTO_KEEP};

	fixture_init(&f);
	buf_init(&bytes, 1u << 20);
	(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	hello_append(&bytes, 1, 1, 0, 0, "gone soon");
	for (int i = 0; i < 10; i++) /* more than is read at once */
		frame_append(&bytes, PROTO_REQUEST, 0, 0, keep, sizeof(keep));
	CHECK_INT(send(f.fd, buf_data(&bytes), buf_length(&bytes), 0), buf_length(&bytes));
	cleanup_close(&f.fd);
	run(&f);
	CHECK_INT(f.requests, 10);
	CHECK_INT(f.downs, 1);
	CHECK_INT(f.end, LINK_CLOSED);
	CHECK_STR(f.why, "Connection reset by peer");
}

static void an_orderly_end_is_no_reset(void)
{
	auto_fixture struct fixture f;
	auto_buf struct buf bytes;
	static uint8_t theirs[4096];

	fixture_init(&f);
	buf_init(&bytes, 4096);
	(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	CHECK(recv(f.fd, theirs, sizeof(theirs), 0) > 0);
	hello_append(&bytes, 1, 1, 0, 0, "gone soon");
	CHECK(send(f.fd, buf_data(&bytes), buf_length(&bytes), 0) > 0);
	cleanup_close(&f.fd);
	run(&f);
	CHECK_INT(f.downs, 1);
	CHECK_STR(f.why, "the other side closed the connection");
}

TEST_MAIN(TEST(what_came_before_a_reset_is_heard_and_the_reason_is_true),
	  TEST(an_orderly_end_is_no_reset))
