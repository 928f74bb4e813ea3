#include "unit/mux_rig.h"
#include "unit/test.h"

static const struct mux_hello hello_of_rig = {.uptime_ns = 42, .program = "rig"};

static int feed(struct rig *rig, const struct buf *buf)
{
	return mux_feed(rig->mux, buf_data(buf), buf_length(buf), &rig->err);
}

static int feed_singly(struct rig *rig, const struct buf *buf)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < buf_length(buf); i++)
		result = mux_feed(rig->mux, buf_data(buf) + i, 1, &rig->err);
	return result;
}

static void zeros_append(struct buf *buf, size_t count)
{
	static const uint8_t zeros[2 * PROTO_RESYNC_RUN];

	(void)buf_append(buf, zeros, count);
}

static void a_peer_that_restarts_inside_a_frame_never_has_it_delivered(void)
{
	auto_buf struct buf frame;
	size_t total;

	/* A frame with every field set and a payload that begins and ends in zeros. */
	buf_init(&frame, 4096);
	frame_append(&frame, PROTO_DATA, PROTO_DATA_STDERR, 0x01010101, "\0\0part\0\0", 8);
	total = buf_length(&frame);
	for (size_t cut = 0; cut < 2 * total; cut++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;
		auto_buf struct buf stream;

		buf_init(&stream, 1u << 20);
		rig_init(rig, MUX_HOST);
		mux_allow_resync(rig->mux);
		CHECK_INT(rig_feed_open(rig, 0x01010102, 0), 0);
		(void)rig_log(rig);
		(void)rig_output(rig);
		/* For ids of both parities: one open, one never opened. */
		buf_clear(&frame);
		frame_append(&frame, PROTO_DATA, PROTO_DATA_STDERR, 0x01010101 + (cut < total),
			     "\0\0part\0\0", 8);
		(void)buf_append(&stream, buf_data(&frame), cut % total);
		zeros_append(&stream, PROTO_RESYNC_RUN);
		hello_append(&stream, 1, 1, 77, 0, "again");
		CHECK_INT(cut % 2 ? feed(rig, &stream) : feed_singly(rig, &stream), 0);
		CHECK_STR(rig_log(rig), "lost 16843010; hello again");
		CHECK(mux_ready(rig->mux));
		CHECK_STR(rig_output(rig), "ZEROS 16409; HELLO");
		/* And all starts anew, ids too. */
		CHECK_INT(rig_feed_open(rig, 2, 0), 0);
		CHECK_STR(rig_output(rig), "ACCEPT 2");
	}
}

static void the_answer_names_the_hello_it_answers(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	auto_buf struct buf stream;
	struct msg_reader reader;

	buf_init(&stream, 1u << 20);
	rig_init(rig, MUX_HOST);
	mux_allow_resync(rig->mux);
	zeros_append(&stream, PROTO_RESYNC_RUN);
	hello_append(&stream, 1, 1, 0x123456789abcULL, 0, "again");
	CHECK_INT(feed(rig, &stream), 0);
	rig_pull(rig, SIZE_MAX);
	buf_consume(&rig->stream, PROTO_RESYNC_RUN);
	msg_read_from(&reader, buf_data(&rig->stream) + PROTO_FRAME_HEADER + 40, 8);
	CHECK(msg_read_u64(&reader) == 0x123456789abcULL);
}

static void a_run_is_a_violation_where_no_restart_is_expected(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	auto_buf struct buf stream;

	buf_init(&stream, 1u << 20);
	rig_init(rig, MUX_GUEST);
	zeros_append(&stream, PROTO_RESYNC_RUN);
	hello_append(&stream, 1, 1, 77, 0, "again");
	CHECK_INT(feed(rig, &stream), -1);
	CHECK_STR(rig_output(rig), "GOAWAY 10 protocol violation: bytes that are no frame");
}

static void what_is_no_run_and_hello_is_a_violation(void)
{
	const struct {
		size_t zeros; /* after the header that was spoiled */
		uint8_t type;
	} cases[] = {{0, PROTO_HELLO}, {11, PROTO_HELLO}, {12, PROTO_PING}, {12, PROTO_DATA}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;
		auto_buf struct buf stream;

		buf_init(&stream, 1u << 20);
		rig_init(rig, MUX_HOST);
		mux_allow_resync(rig->mux);
		zeros_append(&stream, PROTO_FRAME_HEADER + cases[i].zeros);
		if (cases[i].type == PROTO_HELLO)
			hello_append(&stream, 1, 1, 77, 0, "again");
		else
			frame_append(&stream, cases[i].type, 0, 0, "x", 1);
		CHECK_INT(feed(rig, &stream), -1);
	}
	/* A damaged header that does not end in zero, a damaged end byte. */
	for (int end = 0; end < 2; end++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;
		auto_buf struct buf stream;

		buf_init(&stream, 1u << 20);
		rig_init(rig, MUX_HOST);
		mux_allow_resync(rig->mux);
		frame_append(&stream, PROTO_PING, 0, 0, "x", 1);
		stream.bytes[end ? PROTO_FRAME_HEADER + 1 : 1] ^= 0x11;
		CHECK_INT(feed(rig, &stream), -1);
	}
}

static void a_frame_that_was_begun_is_finished_before_the_answer(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	auto_buf struct buf stream;
	const uint8_t *bytes;

	buf_init(&stream, 1u << 20);
	rig_init(rig, MUX_HOST);
	mux_allow_resync(rig->mux);
	CHECK_INT(rig_feed_open(rig, 2, 0), 0);
	(void)rig_output(rig);
	mux_send(rig->last, 0, "begun", 5);
	mux_exit(rig->last, PROTO_EXITED, 0);
	CHECK(mux_output(rig->mux, &bytes) > 8);
	(void)buf_append(&rig->stream, bytes, 8);
	mux_sent(rig->mux, 8);
	CHECK_INT(mux_request(rig->mux, 1, PROTO_CONFIGURE, "stale", 5), 0);
	zeros_append(&stream, PROTO_RESYNC_RUN);
	hello_append(&stream, 1, 1, 77, 0, "again");
	CHECK_INT(feed(rig, &stream), 0);
	CHECK_STR(rig_output(rig), "DATA 2 'begun'; ZEROS 16409; HELLO");
}

/* Before a suspend the host says GOAWAY; the agent that is restarted then is to be set up anew. */
static void a_host_that_said_goaway_speaks_again_after_a_restart(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	auto_buf struct buf stream;

	buf_init(&stream, 1u << 20);
	rig_init(rig, MUX_HOST);
	mux_allow_resync(rig->mux);
	mux_goaway(rig->mux, PROTO_OK, "to be suspended");
	CHECK_STR(rig_output(rig), "GOAWAY 0 to be suspended");
	zeros_append(&stream, PROTO_RESYNC_RUN);
	hello_append(&stream, 1, 1, 77, 0, "again");
	CHECK_INT(feed(rig, &stream), 0);
	CHECK_INT(mux_request(rig->mux, 1, PROTO_CONFIGURE, "new", 3), 0);
	CHECK_STR(rig_output(rig), "ZEROS 16409; HELLO; REQUEST 1 32 'new'");
}

static void many_restarts_without_reading_cost_no_memory(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	auto_buf struct buf stream;

	buf_init(&stream, 1u << 20);
	rig_init(rig, MUX_HOST);
	mux_allow_resync(rig->mux);
	zeros_append(&stream, PROTO_RESYNC_RUN);
	hello_append(&stream, 1, 1, 77, 0, "again");
	for (int i = 0; i < 100; i++)
		CHECK_INT(feed(rig, &stream), 0);
	CHECK(mux_queued(rig->mux) < 2 * PROTO_FRAME_MAX);
}

static void a_side_that_restarted_drops_all_before_the_answer_to_its_own_hello(void)
{
	for (int singly = 0; singly < 2; singly++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;
		auto_buf struct buf stream;
		static const uint8_t zeros[PROTO_PAYLOAD_MAX];

		buf_init(&stream, 1u << 20);
		rig_init_raw(rig, MUX_GUEST);
		mux_start(rig->mux, &hello_of_rig, true);
		CHECK_STR(rig_output(rig), "ZEROS 16409; HELLO");
		/* The tail of a frame, a frame full of zeros, the HELLO of a host that did not
		 * notice yet, its answer to an earlier restart, and what it said then. */
		(void)buf_append(&stream, "tail\0\0\0", 7);
		frame_append(&stream, PROTO_DATA, 0, 1, zeros, sizeof(zeros));
		hello_append(&stream, 1, 1, 1, 0, "stale");
		frame_append(&stream, PROTO_PING, 0, 0, "stale", 5);
		zeros_append(&stream, PROTO_RESYNC_RUN);
		hello_append(&stream, 1, 1, 1, 41, "stale answer");
		frame_append(&stream, PROTO_OPEN, 0, 1, "\0\1\0\0\0\0", 6);
		(void)buf_append(&stream, "x", 1);
		zeros_append(&stream, PROTO_RESYNC_RUN - 1);
		hello_append(&stream, 1, 1, 1, 42, "run too short");
		zeros_append(&stream, PROTO_RESYNC_RUN);
		frame_append(&stream, PROTO_PING, 0, 0, "no hello", 8);
		zeros_append(&stream, PROTO_RESYNC_RUN);
		hello_append(&stream, 1, 1, 2, 42, "host");
		frame_append(&stream, PROTO_PING, 0, 0, "now", 3);
		CHECK_INT(singly ? feed_singly(rig, &stream) : feed(rig, &stream), 0);
		CHECK_STR(rig_log(rig), "hello host");
		CHECK_STR(rig_output(rig), "PONG 'now'");
	}
}

/* Moves up to `most` bytes from one mux to the other; how many there were. */
static size_t carry(struct rig *from, struct rig *to, size_t most)
{
	const uint8_t *bytes;
	size_t length = mux_output(from->mux, &bytes);

	if (length > most)
		length = most;
	auto_buf struct buf copy;

	buf_init(&copy, 1u << 20);
	(void)buf_append(&copy, bytes, length);
	mux_sent(from->mux, length);
	if (to)
		CHECK_INT(feed(to, &copy), 0);
	return length;
}

static void a_link_survives_restarts_at_every_moment(void)
{
	struct rig host auto_rig;

	rig_init_raw(&host, MUX_HOST);
	mux_allow_resync(host.mux);
	mux_start(host.mux, &(const struct mux_hello){.uptime_ns = 1, .program = "host"}, false);
	for (size_t life = 0; life < 300; life++) {
		struct rig agent auto_rig;
		struct mux_channel *channel;
		size_t moved;
		struct mux_hello hello = {.uptime_ns = 1000 + life, .program = "agent"};

		rig_init_raw(&agent, MUX_GUEST);
		mux_start(agent.mux, &hello, true);
		do {
			moved = carry(&agent, &host, 4000);
			moved += carry(&host, &agent, 5000);
		} while (moved > 0);
		CHECK_STR(rig_log(&agent), "hello host");
		CHECK(strstr(rig_log(&host), "hello agent") != NULL);
		channel =
		    mux_open(host.mux, PROTO_KIND_SESSION, 0, &rig_channel_ops, &host, &host.err);
		CHECK(channel != NULL);
		mux_send(channel, 0, "0123456789", 10);
		CHECK_INT(mux_ping(agent.mux, "01234567890", 11), 0);
		/* It ends after so many bytes in either direction. */
		(void)carry(&agent, &host, life % 31);
		(void)carry(&host, &agent, life % 47);
		(void)carry(&host, NULL, life % 7);
	}
}

/* What a hook does, for the events it is asked about. */
static const char *hook_event;
static void (*hook_action)(struct rig *rig, struct mux_channel *channel);

static void hook(struct rig *rig, struct mux_channel *channel, const char *event)
{
	if (strcmp(event, hook_event) == 0)
		hook_action(rig, channel);
}

static void act_close(struct rig *rig, struct mux_channel *channel)
{
	mux_send(channel, 0, "bye", 3);
	mux_close(channel);
	rig_pull(rig, SIZE_MAX);
	mux_consume(channel, 1);
}

static void act_lose(struct rig *rig, struct mux_channel *channel)
{
	mux_lose(rig->mux);
	(void)mux_window(channel);
	mux_close(channel);
}

static void act_reject(struct rig *rig, struct mux_channel *channel)
{
	mux_reject(channel, PROTO_FAILED, "no");
	rig_pull(rig, SIZE_MAX);
	mux_close(channel);
	(void)mux_channel_request(channel, PROTO_SIGNAL, NULL, 0);
}

static void act_open(struct rig *rig, struct mux_channel *channel)
{
	struct err err;
	struct mux_channel *other =
	    mux_open(rig->mux, PROTO_KIND_SESSION, 0, &rig_channel_ops, rig, &err);

	CHECK_INT(mux_window(channel), 0);
	if (other)
		mux_close(other);
	rig_pull(rig, SIZE_MAX);
}

static void events_may_call_everything_on_the_same_mux(void)
{
	static const char *const events[] = {"open",	"data",	  "eof",     "exit",
					     "request", "credit", "closing", "closed"};
	static void (*const actions[])(struct rig *, struct mux_channel *) = {act_close, act_lose,
									      act_reject, act_open};

	for (size_t i = 0; i < ARRAY_SIZE(events) * ARRAY_SIZE(actions); i++) {
		bool is_open = i / ARRAY_SIZE(actions) == 0;

		hook_event = events[i / ARRAY_SIZE(actions)];
		hook_action = actions[i % ARRAY_SIZE(actions)];
		if ((hook_action == act_reject && !is_open) ||
		    (hook_action == act_open && strcmp(hook_event, "closed") != 0) ||
		    (hook_action == act_close && is_open))
			continue;
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;
		auto_buf struct buf stream;

		rig_init(rig, MUX_GUEST);
		rig->hold_open = is_open;
		buf_init(&stream, 4096);
		rig->consume = false;
		rig->hook = hook;
		CHECK_INT(rig_feed_open(rig, 1, 0), 0);
		if (!is_open)
			mux_send(rig->last, 0, "x", 1);
		rig_pull(rig, SIZE_MAX);
		frame_append(&stream, PROTO_DATA, 0, 1, "ab", 2);
		if (!is_open)
			frame_append(&stream, PROTO_CREDIT, 0, 1, "\0\0\0\1", 4);
		frame_append(&stream, PROTO_REQUEST, 0, 1, "\0\0\0\0\0\x41", 6);
		frame_append(&stream, PROTO_EXIT, 0, 1, "\0\0\0\0\0", 5);
		frame_append(&stream, PROTO_EOF, 0, 1, "", 0);
		frame_append(&stream, PROTO_CLOSE, 0, 1, "", 0);
		CHECK_INT(feed(rig, &stream), 0);
		rig_pull(rig, SIZE_MAX);
		const char *log = rig_log(rig);
		CHECK(strstr(log, hook_action == act_lose && strcmp(hook_event, "closed") != 0
				      ? "lost 1"
				      : "closed 1") != NULL);
	}
}

TEST_MAIN(TEST(a_peer_that_restarts_inside_a_frame_never_has_it_delivered),
	  TEST(the_answer_names_the_hello_it_answers),
	  TEST(a_run_is_a_violation_where_no_restart_is_expected),
	  TEST(what_is_no_run_and_hello_is_a_violation),
	  TEST(a_frame_that_was_begun_is_finished_before_the_answer),
	  TEST(a_host_that_said_goaway_speaks_again_after_a_restart),
	  TEST(many_restarts_without_reading_cost_no_memory),
	  TEST(a_side_that_restarted_drops_all_before_the_answer_to_its_own_hello),
	  TEST(a_link_survives_restarts_at_every_moment),
	  TEST(events_may_call_everything_on_the_same_mux))
