#include "unit/mux_rig.h"
#include "unit/test.h"

static const struct mux_hello hello_of_rig = {
    .uptime_ns = 42, .boot_nonce = {9, 9}, .program = "rig"};

static int feed(struct rig *rig, const struct buf *buf)
{
	return mux_feed(rig->mux, buf_data(buf), buf_length(buf), &rig->err);
}

static void nothing_leaves_before_our_hello_nor_behind_it_before_the_peers(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	struct err err;

	rig_init_raw(rig, MUX_HOST);
	CHECK_STR(rig_output(rig), "");
	mux_start(rig->mux, &hello_of_rig, false);
	CHECK(!mux_ready(rig->mux));
	CHECK_INT(mux_request(rig->mux, 1, PROTO_STATUS, "", 0), 0);
	CHECK(mux_open(rig->mux, PROTO_KIND_SESSION, 0, NULL, NULL, &err) == NULL);
	CHECK_INT(err.code, ERR_PROTOCOL);
	CHECK_STR(rig_output(rig), "HELLO");
	CHECK(!mux_has_output(rig->mux));
	CHECK_INT(rig_feed_hello(rig, 1, 1), 0);
	CHECK_STR(rig_log(rig), "hello peer");
	CHECK(mux_ready(rig->mux));
	CHECK_INT(mux_version(rig->mux), 1);
	CHECK(mux_has_output(rig->mux));
	CHECK_STR(rig_output(rig), "REQUEST 1 2 ''");
}

static void hello_says_versions_nonce_and_program(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	struct msg_reader reader;
	uint8_t nonce[16];

	rig_init_raw(rig, MUX_GUEST);
	mux_start(rig->mux, &hello_of_rig, false);
	rig_pull(rig, SIZE_MAX);
	msg_read_from(&reader, buf_data(&rig->stream) + PROTO_FRAME_HEADER,
		      buf_length(&rig->stream) - PROTO_FRAME_HEADER);
	CHECK(msg_read_u64(&reader) == PROTO_MAGIC);
	CHECK_INT(msg_read_u16(&reader), PROTO_VERSION_MIN);
	CHECK_INT(msg_read_u16(&reader), PROTO_VERSION);
	CHECK_INT(msg_read_u32(&reader), 0);
	msg_read_bytes(&reader, nonce, sizeof(nonce));
	CHECK(memcmp(nonce, hello_of_rig.boot_nonce, sizeof(nonce)) == 0);
	CHECK_INT(msg_read_u64(&reader), 42);
	CHECK_INT(msg_read_u64(&reader), 0);
	auto_free char *program = msg_read_string(&reader, 63);
	CHECK_STR(program, "rig");
}

static void the_lower_version_wins_and_none_in_common_is_said_clearly(void)
{
	const struct {
		uint16_t min, max;
		int result;
		const char *output;
	} cases[] = {
	    {0, 1, 0, "HELLO"},
	    {1, 9, 0, "HELLO"},
	    {2, 3, -1,
	     "HELLO; GOAWAY 9 no protocol version in common: rig speaks 1 to 1, peer speaks 2 to "
	     "3; update the older one"},
	    {0, 0, -1,
	     "HELLO; GOAWAY 9 no protocol version in common: rig speaks 1 to 1, peer speaks 0 to "
	     "0; update the older one"},
	    {3, 1, -1, "HELLO; GOAWAY 10 protocol violation: HELLO with versions 3 to 1"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;

		rig_init_raw(rig, MUX_HOST);
		mux_start(rig->mux, &hello_of_rig, false);
		CHECK_INT(rig_feed_hello(rig, cases[i].min, cases[i].max), cases[i].result);
		CHECK_STR(rig_output(rig), cases[i].output);
		if (cases[i].result == 0)
			CHECK_INT(mux_version(rig->mux), 1);
		CHECK_INT(mux_ready(rig->mux), cases[i].result == 0);
	}
}

static void hello_comes_first_and_once(void)
{
	for (unsigned type = PROTO_OPEN; type < PROTO_TYPE_COUNT; type++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;

		rig_init_raw(rig, MUX_HOST);
		mux_start(rig->mux, &hello_of_rig, false);
		CHECK_INT(rig_feed(rig, (uint8_t)type, 0, 0, "\0\0\0\0\0\0\0\0", 8),
			  type == PROTO_GOAWAY ? 0 : -1);
	}
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init(rig, MUX_HOST);
	CHECK_INT(rig_feed_hello(rig, 1, 1), -1);
}

static void a_stranger_is_told_from_a_peer(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init_raw(rig, MUX_HOST);
	mux_start(rig->mux, &hello_of_rig, false);
	CHECK_INT(rig_feed(rig, PROTO_HELLO, 0, 0,
			   "SSH-2.0-something longer than fifty bytes at "
			   "least, is it not?",
			   60),
		  -1);
	CHECK_STR(rig->err.text, "protocol violation: a malformed HELLO");
	const char http[] = "GET / HTTP/1.1\r\n\r\n";
	struct rig other_ auto_rig;
	struct rig *other = &other_;

	rig_init_raw(other, MUX_HOST);
	mux_start(other->mux, &hello_of_rig, false);
	CHECK_INT(mux_feed(other->mux, http, sizeof(http) - 1, &other->err), -1);
	CHECK_STR(other->err.text, "protocol violation: bytes that are no frame");
}

static void a_peers_name_with_control_characters_is_escaped_in_the_error(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	auto_buf struct buf buf;

	buf_init(&buf, 4096);
	rig_init_raw(rig, MUX_HOST);
	mux_start(rig->mux, &hello_of_rig, false);
	hello_append(&buf, 7, 7, 1, 0, "\033[31mred");
	CHECK_INT(feed(rig, &buf), -1);
	CHECK(strchr(rig->err.text, '\033') == NULL);
	CHECK(strstr(rig->err.text, "red speaks 7 to 7") != NULL);
}

static void channel_zero_carries_requests_replies_and_pings(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init(rig, MUX_HOST);
	CHECK_INT(rig_feed(rig, PROTO_REQUEST, 0, 0, "\0\0\0\7\0\2arg", 9), 0);
	CHECK_INT(rig_feed(rig, PROTO_REPLY, 0, 0, "\0\0\0\7\0\0\0\6why", 11), 0);
	CHECK_INT(rig_feed_text(rig, PROTO_PING, 0, "are you there"), 0);
	CHECK_INT(rig_feed_text(rig, PROTO_PONG, 0, "yes"), 0);
	CHECK_INT(rig_feed(rig, PROTO_GOAWAY, 0, 0, "\0\0\0\10\0\0\0\3bye", 11), 0);
	CHECK_STR(rig_log(rig), "request 7 2 'arg'; reply 7 6 'why'; pong 'yes'; goaway 8 bye");
	CHECK_INT(mux_reply(rig->mux, 7, PROTO_OK, "done", 4), 0);
	CHECK_INT(mux_ping(rig->mux, "p", 1), 0);
	CHECK_STR(rig_output(rig), "PONG 'are you there'; REPLY 7 0 'done'; PING 'p'");
}

static void malformed_frames_are_violations(void)
{
	static const uint8_t zeros[65];
	const struct {
		uint8_t type, flags;
		uint32_t channel;
		size_t length;
	} frames[] = {
	    {PROTO_SYNC, 0, 0, 0},	 {PROTO_TYPE_COUNT, 0, 0, 0}, {255, 0, 0, 0},
	    {PROTO_TYPE_COUNT, 0, 1, 0}, {PROTO_DATA, 2, 1, 1},	      {PROTO_PING, 1, 0, 0},
	    {PROTO_PING, 0, 0, 65},	 {PROTO_PONG, 0, 0, 65},      {PROTO_REQUEST, 0, 0, 5},
	    {PROTO_REPLY, 0, 0, 7},	 {PROTO_GOAWAY, 0, 0, 7},     {PROTO_GOAWAY, 0, 1, 8},
	    {PROTO_PING, 0, 1, 0},	 {PROTO_HELLO, 0, 1, 0},      {PROTO_DATA, 0, 0, 1},
	    {PROTO_CLOSE, 0, 0, 0},	 {PROTO_OPEN, 0, 0, 6},	      {PROTO_OPEN, 0, 3, 5},
	    {PROTO_CREDIT, 0, 1, 3},	 {PROTO_EXIT, 0, 1, 4},	      {PROTO_REQUEST, 0, 1, 5},
	    {PROTO_ACCEPT, 0, 1, 0},	 {PROTO_REJECT, 0, 1, 8},     {PROTO_REJECT, 0, 2, 7},
	};

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;
		struct err err;

		rig_init(rig, MUX_GUEST);
		CHECK_INT(rig_feed_open(rig, 1, 0), 0);
		CHECK(mux_open(rig->mux, PROTO_KIND_SESSION, 0, NULL, NULL, &err) != NULL);
		(void)rig_output(rig);
		if (rig_feed(rig, frames[i].type, frames[i].flags, frames[i].channel, zeros,
			     frames[i].length) != -1) {
			printf("# frame %zu was taken\n", i);
			test_failed = true;
		}
		CHECK(strncmp(rig_output(rig), "GOAWAY 10 protocol violation: ", 30) == 0);
	}
}

static void exit_values_are_checked_and_come_once(void)
{
	const struct {
		const char *bytes;
		int result;
	} cases[] = {{"\0\0\0\0\xff", 0},
		     {"\0\0\0\1\0", -1},
		     {"\1\0\0\0\x7f", 0},
		     {"\1\0\0\0\x80", -1},
		     {"\2\0\0\0\0", -1}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;

		rig_init(rig, MUX_GUEST);
		CHECK_INT(rig_feed_open(rig, 1, 0), 0);
		CHECK_INT(rig_feed(rig, PROTO_EXIT, 0, 1, cases[i].bytes, 5), cases[i].result);
		CHECK_INT(rig_feed(rig, PROTO_EXIT, 0, 1, "\0\0\0\0\0", 5), -1);
	}
}

static void eof_ends_data(void)
{
	for (int second = 0; second < 2; second++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;

		rig_init(rig, MUX_GUEST);
		CHECK_INT(rig_feed_open(rig, 1, 0), 0);
		CHECK_INT(rig_feed_text(rig, PROTO_EOF, 1, ""), 0);
		CHECK_INT(rig_feed_text(rig, second ? PROTO_EOF : PROTO_DATA, 1, "x"), -1);
	}
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init(rig, MUX_GUEST);
	CHECK_INT(rig_feed_open(rig, 1, 0), 0);
	mux_eof(rig->last);
	mux_eof(rig->last);
	CHECK_INT(mux_window(rig->last), 0);
	mux_exit(rig->last, PROTO_EXITED, 3);
	mux_exit(rig->last, PROTO_EXITED, 4);
	CHECK_STR(rig_output(rig), "ACCEPT 1; EOF 1; EXIT 1 0 3");
}

static void a_ping_flood_by_a_peer_that_does_not_read_is_an_error_not_memory(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	int result = 0;
	int count = 0;

	rig_init(rig, MUX_HOST);
	while (result == 0 && count < 100000) {
		result = rig_feed_text(rig, PROTO_PING, 0, "0123456789");
		count++;
	}
	CHECK_INT(result, -1);
	CHECK_STR(rig->err.text, "protocol violation: PINGs without reading the answers");
	CHECK(mux_queued(rig->mux) <= PROTO_CONTROL_QUEUE_MAX + 2048);
	/* Read at last: the reason stands behind what was on its way. */
	CHECK(strstr(rig_output(rig), "GOAWAY 10") != NULL);
}

static void an_open_flood_by_a_peer_that_does_not_read_is_an_error_not_memory(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	uint32_t id = 1;

	rig_init(rig, MUX_GUEST);
	while (rig_feed_open(rig, id, 0) == 0 && id < 200000)
		id += 2;
	CHECK_STR(rig->err.text, "protocol violation: opens channels without reading the answers");
	CHECK(mux_queued(rig->mux) <= PROTO_CONTROL_QUEUE_MAX + 64u * PROTO_CHANNELS_MAX);
}

static void request_queues_are_bounded(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	static const uint8_t big[PROTO_MESSAGE_MAX];
	int count = 0;

	rig_init(rig, MUX_GUEST);
	while (mux_request(rig->mux, 1, PROTO_STATUS, big, 1000) == 0)
		count++;
	CHECK_INT(count, PROTO_CONTROL_QUEUE_MAX / (PROTO_FRAME_HEADER + 1 + 6 + 1000));
	CHECK_INT(mux_reply(rig->mux, 1, PROTO_OK, big, 1000), -1);
	(void)rig_output(rig);
	CHECK_INT(mux_request(rig->mux, 1, PROTO_STATUS, big, PROTO_MESSAGE_MAX - 6), 0);
	CHECK_INT(mux_request(rig->mux, 1, PROTO_STATUS, big, PROTO_MESSAGE_MAX - 5), -1);
	CHECK_INT(mux_reply(rig->mux, 1, PROTO_OK, big, PROTO_MESSAGE_MAX - 7), -1);
	CHECK_INT(mux_ping(rig->mux, big, 65), -1);
	CHECK_INT(rig_feed_open(rig, 1, 0), 0);
	count = 0;
	while (mux_channel_request(rig->last, PROTO_RESIZE, big, 8) == 0)
		count++;
	CHECK(count > 1000 && mux_queued(rig->mux) < 200000);
	(void)rig_output(rig);
	CHECK_INT(mux_channel_request(rig->last, PROTO_RESIZE, big, PROTO_MESSAGE_MAX - 6), 0);
	CHECK_INT(mux_channel_request(rig->last, PROTO_RESIZE, big, PROTO_MESSAGE_MAX - 5), -1);
}

static void nothing_leaves_after_goaway_and_long_reasons_are_cut(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	char text[3000];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	rig_init(rig, MUX_HOST);
	mux_goaway(rig->mux, PROTO_SHUTTING_DOWN, text);
	CHECK_INT(mux_ping(rig->mux, "", 0), 0);
	const char *output = rig_output(rig);
	CHECK(strncmp(output, "GOAWAY 8 xxx", 12) == 0);
	CHECK_INT(strlen(output), 9 + PROTO_TEXT_MAX);
	mux_goaway(rig->mux, PROTO_OK, "again");
	CHECK_STR(rig_output(rig), "");
	CHECK(!mux_has_output(rig->mux));
	/* Also before the peer's HELLO: it may be one that never says any. */
	struct rig new_ auto_rig;

	rig_init_raw(&new_, MUX_HOST);
	mux_start(new_.mux, &hello_of_rig, false);
	mux_goaway(new_.mux, PROTO_SHUTTING_DOWN, "bye");
	CHECK_STR(rig_output(&new_), "HELLO; GOAWAY 8 bye");
}

static void a_lost_link_closes_every_channel_once(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	struct err err;

	rig_init(rig, MUX_GUEST);
	CHECK_INT(rig_feed_open(rig, 1, 0), 0);
	CHECK(mux_open(rig->mux, PROTO_KIND_SESSION, 0, &rig_channel_ops, rig, &err) != NULL);
	(void)rig_log(rig);
	mux_lose(rig->mux);
	CHECK_STR(rig_log(rig), "lost 1; lost 2");
	mux_lose(rig->mux);
	CHECK_STR(rig_log(rig), "");
	CHECK_STR(rig_output(rig), "");
	CHECK_INT(mux_queued(rig->mux), 0);
	CHECK(!mux_ready(rig->mux));
	CHECK_INT(mux_request(rig->mux, 1, PROTO_STATUS, "", 0), -1);
	CHECK(mux_open(rig->mux, PROTO_KIND_SESSION, 0, NULL, NULL, &err) == NULL);
	CHECK_INT(rig_feed_text(rig, PROTO_PING, 0, ""), 0);
	mux_goaway(rig->mux, PROTO_OK, "");
	CHECK_STR(rig_output(rig), "");
}

TEST_MAIN(TEST(nothing_leaves_before_our_hello_nor_behind_it_before_the_peers),
	  TEST(hello_says_versions_nonce_and_program),
	  TEST(the_lower_version_wins_and_none_in_common_is_said_clearly),
	  TEST(hello_comes_first_and_once), TEST(a_stranger_is_told_from_a_peer),
	  TEST(a_peers_name_with_control_characters_is_escaped_in_the_error),
	  TEST(channel_zero_carries_requests_replies_and_pings),
	  TEST(malformed_frames_are_violations), TEST(exit_values_are_checked_and_come_once),
	  TEST(eof_ends_data),
	  TEST(a_ping_flood_by_a_peer_that_does_not_read_is_an_error_not_memory),
	  TEST(an_open_flood_by_a_peer_that_does_not_read_is_an_error_not_memory),
	  TEST(request_queues_are_bounded),
	  TEST(nothing_leaves_after_goaway_and_long_reasons_are_cut),
	  TEST(a_lost_link_closes_every_channel_once))
