#include "unit/mux_rig.h"
#include "unit/test.h"

#define KIND PROTO_KIND_SESSION

static const struct mux_hello hello_of_rig = {.uptime_ns = 42, .program = "rig"};

static void owners_may_leave_out_every_callback(void)
{
	static const struct mux_events no_events;
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	struct err err;

	rig_init_raw(rig, MUX_HOST);
	mux_free(rig->mux);
	rig->mux = mux_new(MUX_HOST, &no_events, NULL);
	mux_start(rig->mux, &hello_of_rig, false);
	CHECK_INT(rig_feed_hello(rig, 1, 1), 0);
	CHECK_INT(rig_feed(rig, PROTO_REQUEST, 0, 0, "\0\0\0\1\0\2", 6), 0);
	CHECK_INT(rig_feed(rig, PROTO_REPLY, 0, 0, "\0\0\0\1\0\0\0\0", 8), 0);
	CHECK_INT(rig_feed_text(rig, PROTO_PONG, 0, ""), 0);
	CHECK_INT(rig_feed(rig, PROTO_GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8), 0);
	struct mux_channel *channel = mux_open(rig->mux, KIND, 0, NULL, rig, &err);
	CHECK(mux_of(channel) == rig->mux && mux_user(channel) == rig);
	mux_send(channel, 0, "x", 1);
	(void)rig_output(rig);
	CHECK_INT(rig_feed_text(rig, PROTO_ACCEPT, 1, ""), 0);
	CHECK_INT(rig_feed_text(rig, PROTO_DATA, 1, ""), 0);
	/* Unwanted data is consumed, or the fortieth would pass the window. */
	for (int i = 0; i < 40; i++) {
		CHECK_INT(rig_feed(rig, PROTO_DATA, 0, 1, (uint8_t[10000]){0}, 10000), 0);
		(void)rig_output(rig);
	}
	CHECK_INT(rig_feed_u32(rig, PROTO_CREDIT, 1, 1), 0);
	CHECK_INT(rig_feed(rig, PROTO_REQUEST, 0, 1, "\0\0\0\0\0\x40", 6), 0);
	CHECK_INT(rig_feed(rig, PROTO_EXIT, 0, 1, "\0\0\0\0\0", 5), 0);
	CHECK_INT(rig_feed_text(rig, PROTO_EOF, 1, ""), 0);
	CHECK_INT(rig_feed_text(rig, PROTO_CLOSE, 1, ""), 0);
	CHECK_STR(rig_output(rig), "CLOSE 1");
	CHECK(mux_open(rig->mux, KIND, 0, NULL, NULL, &err) != NULL);
	(void)rig_output(rig);
	CHECK_INT(rig_feed(rig, PROTO_REJECT, 0, 3, "\0\0\0\1\0\0\0\0", 8), 0);
	mux_free(NULL);
}

static void answers_that_cross_a_close_are_dropped(void)
{
	for (int rejected = 0; rejected < 2; rejected++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;
		struct err err;

		rig_init(rig, MUX_HOST);
		struct mux_channel *channel =
		    mux_open(rig->mux, KIND, 0, &rig_channel_ops, rig, &err);
		mux_close(channel);
		CHECK_STR(rig_output(rig), "OPEN 1; CLOSE 1");
		if (rejected) {
			CHECK_INT(rig_feed(rig, PROTO_REJECT, 0, 1, "\0\0\0\1\0\0\0\0", 8), 0);
		} else {
			CHECK_INT(rig_feed_text(rig, PROTO_ACCEPT, 1, ""), 0);
			CHECK_INT(rig_feed_u32(rig, PROTO_CREDIT, 1, 0), 0);
			CHECK_INT(rig_feed_text(rig, PROTO_CLOSE, 1, ""), 0);
		}
		CHECK_STR(rig_log(rig), "closed 1");
	}
}

static void a_channel_is_answered_once(void)
{
	for (uint8_t type = PROTO_ACCEPT; type <= PROTO_REJECT; type++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;
		struct err err;

		rig_init(rig, MUX_HOST);
		CHECK(mux_open(rig->mux, KIND, 0, &rig_channel_ops, rig, &err) != NULL);
		(void)rig_output(rig);
		CHECK_INT(rig_feed_text(rig, PROTO_ACCEPT, 1, ""), 0);
		CHECK_INT(rig_feed(rig, type, 0, 1, "\0\0\0\1\0\0\0\0", 8), -1);
		CHECK(strstr(rig->err.text, "that was not offered") != NULL);
	}
}

static void an_offered_channel_may_be_closed_unanswered(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init(rig, MUX_GUEST);
	rig->hold_open = true;
	CHECK_INT(rig_feed_open(rig, 1, 0), 0);
	mux_close(rig->last);
	mux_reject(rig->last, PROTO_FAILED, "too late");
	mux_accept(rig->last, NULL, 0);
	mux_eof(rig->last);
	mux_exit(rig->last, PROTO_EXITED, 0);
	CHECK_STR(rig_output(rig), "CLOSE 1");
	CHECK_INT(rig_feed_text(rig, PROTO_CLOSE, 1, ""), 0);
	CHECK_STR(rig_log(rig), "open 1 1 0; closed 1");
}

static void goaway_finds_its_way_past_a_full_queue(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	int count = 0;

	rig_init(rig, MUX_HOST);
	while (mux_ping(rig->mux, "", 0) == 0)
		count++;
	CHECK(count > 1000);
	mux_goaway(rig->mux, PROTO_SHUTTING_DOWN, NULL);
	CHECK_STR(rig_output(rig), "GOAWAY 8 ");
	/* A violation after it has nothing to add, and the error stays the first. */
	CHECK_INT(rig_feed_text(rig, 99, 0, ""), -1);
	CHECK_INT(rig_feed_text(rig, PROTO_DATA, 7, ""), -1);
	CHECK_STR(rig->err.text, "protocol violation: a frame of type 99 on channel 0");
	CHECK_STR(rig_output(rig), "");
	CHECK_INT(mux_ping(rig->mux, "", 0), -1);
}

static void hello_with_another_magic_or_on_a_channel_is_refused(void)
{
	for (int on_channel = 0; on_channel < 2; on_channel++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;
		auto_buf struct buf buf;
		struct frame frame = {.type = PROTO_HELLO};

		buf_init(&buf, 1000);
		rig_init_raw(rig, MUX_HOST);
		mux_start(rig->mux, &hello_of_rig, false);
		CHECK(mux_has_output(rig->mux));
		hello_append(&buf, 1, 1, 1, 0, "x");
		frame.length = (uint32_t)buf_length(&buf) - PROTO_FRAME_HEADER - 1;
		frame.channel = (uint32_t)on_channel;
		frame_encode(&frame, buf.bytes + buf.start);
		if (!on_channel)
			buf.bytes[buf.start + PROTO_FRAME_HEADER] ^= 1;
		CHECK_INT(mux_feed(rig->mux, buf_data(&buf), buf_length(&buf), &rig->err), -1);
		CHECK(!mux_ready(rig->mux));
	}
}

static struct mux_channel *open_accepted(struct rig *rig)
{
	struct err err;
	struct mux_channel *channel = mux_open(rig->mux, KIND, 0, &rig_channel_ops, rig, &err);

	(void)rig_output(rig);
	CHECK_INT(rig_feed_text(rig, PROTO_ACCEPT, mux_channel_id(channel), ""), 0);
	return channel;
}

static void what_is_put_into_its_place_leaves_as_frames(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	struct iovec places[MUX_PLACES];

	rig_init(rig, MUX_HOST);
	struct mux_channel *channel = open_accepted(rig);
	CHECK_INT(mux_places(channel, PROTO_PAYLOAD_MAX + 3, places), 2);
	CHECK(places[0].iov_len == PROTO_PAYLOAD_MAX && places[1].iov_len == 3);
	CHECK_STR(rig_output(rig), ""); /* nothing has happened */
	CHECK_INT(mux_places(channel, PROTO_PAYLOAD_MAX + 3, places), 2);
	memset(places[0].iov_base, 0, places[0].iov_len);
	memcpy(places[1].iov_base, "xyz", 3);
	mux_placed(channel, PROTO_DATA_STDERR, PROTO_PAYLOAD_MAX + 2);
	CHECK_INT(mux_window(channel), PROTO_WINDOW - PROTO_PAYLOAD_MAX - 2);
	mux_send(channel, 0, "queued", 6);
	CHECK_STR(rig_output(rig), "DATA/err 1 (16384); DATA/err 1 'xy'; DATA 1 'queued'");
}

static void nothing_is_put_in_front_of_what_waits(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	struct iovec places[MUX_PLACES];

	rig_init(rig, MUX_HOST);
	struct mux_channel *one = open_accepted(rig);
	struct mux_channel *three = open_accepted(rig);
	CHECK_INT(mux_ping(rig->mux, "p", 1), 0);
	CHECK_INT(mux_places(one, 1, places), 0);
	CHECK_STR(rig_output(rig), "PING 'p'");
	mux_send(one, 0, "a", 1);
	CHECK_INT(mux_places(one, 1, places), 0);
	CHECK_INT(mux_places(three, 1, places), 0);
	CHECK_STR(rig_output(rig), "DATA 1 'a'");
	CHECK_INT(mux_places(three, 1, places), 1);
	mux_eof(three);
	CHECK_STR(rig_output(rig), "EOF 3");
	CHECK_INT(mux_places(three, 1, places), 0);
}

static void no_more_is_put_into_its_place_than_the_window_and_a_few_frames(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	struct iovec places[MUX_PLACES];

	rig_init(rig, MUX_HOST);
	struct mux_channel *one = open_accepted(rig);
	struct mux_channel *three = open_accepted(rig);
	mux_send(one, 0, (uint8_t[PROTO_WINDOW]){0}, PROTO_WINDOW - 5);
	rig_pull(rig, SIZE_MAX);
	CHECK_INT(mux_places(one, SIZE_MAX, places), 1);
	CHECK_INT(places[0].iov_len, 5);
	for (int left = MUX_PLACES; left > 0; left--) {
		CHECK_INT(mux_places(three, SIZE_MAX, places), left);
		memset(places[0].iov_base, 0, places[0].iov_len);
		mux_placed(three, 0, places[0].iov_len);
	}
	CHECK_INT(mux_places(three, SIZE_MAX, places), 0);
}

TEST_MAIN(TEST(owners_may_leave_out_every_callback), TEST(answers_that_cross_a_close_are_dropped),
	  TEST(a_channel_is_answered_once), TEST(an_offered_channel_may_be_closed_unanswered),
	  TEST(goaway_finds_its_way_past_a_full_queue),
	  TEST(hello_with_another_magic_or_on_a_channel_is_refused),
	  TEST(what_is_put_into_its_place_leaves_as_frames),
	  TEST(nothing_is_put_in_front_of_what_waits),
	  TEST(no_more_is_put_into_its_place_than_the_window_and_a_few_frames))
