#include "unit/mux_rig.h"
#include "unit/test.h"

#define KIND PROTO_KIND_SESSION

static const uint8_t zeros[PROTO_WINDOW + 1];

static struct mux_channel *open_accepted(struct rig *rig)
{
	struct err err;
	struct mux_channel *channel = mux_open(rig->mux, KIND, 0, &rig_channel_ops, rig, &err);

	CHECK(channel != NULL);
	(void)rig_output(rig);
	CHECK_INT(rig_feed_text(rig, PROTO_ACCEPT, mux_channel_id(channel), ""), 0);
	(void)rig_log(rig);
	return channel;
}

/* Opened by the peer, accepted by us. */
static struct mux_channel *open_offered(struct rig *rig, uint32_t id)
{
	CHECK_INT(rig_feed_open(rig, id, 0), 0);
	(void)rig_log(rig);
	(void)rig_output(rig);
	return rig->last;
}

static int feed_data(struct rig *rig, uint32_t channel, size_t length)
{
	int result = 0;

	while (length > 0 && result == 0) {
		size_t part = length < PROTO_PAYLOAD_MAX ? length : PROTO_PAYLOAD_MAX;

		result = rig_feed(rig, PROTO_DATA, 0, channel, zeros, part);
		length -= part;
	}
	return result;
}

static void everything_of_a_channel_leaves_in_the_order_of_the_calls(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	struct err err;

	rig_init(rig, MUX_HOST);
	struct mux_channel *channel = mux_open(rig->mux, KIND, 5, &rig_channel_ops, rig, &err);
	mux_send(channel, 0, "descr", 5);
	CHECK_INT(mux_channel_request(channel, PROTO_RESIZE, "size", 4), 0);
	mux_send(channel, 0, "in", 2);
	mux_send(channel, PROTO_DATA_STDERR, "err", 3);
	mux_exit(channel, PROTO_SIGNALED, 9);
	mux_eof(channel);
	mux_close(channel);
	CHECK_STR(rig_output(rig), "OPEN 1; DATA 1 'descr'; REQUEST 1 0 64 'size'; DATA 1 'in'; "
				   "DATA/err 1 'err'; EXIT 1 1 9; EOF 1; CLOSE 1");
}

static void small_pieces_of_one_kind_leave_as_one_frame(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init(rig, MUX_HOST);
	struct mux_channel *channel = open_accepted(rig);
	mux_send(channel, 0, "a", 1);
	mux_send(channel, 0, "b", 1);
	mux_send(channel, PROTO_DATA_STDERR, "c", 1);
	mux_send(channel, PROTO_DATA_STDERR, "d", 1);
	mux_send(channel, 0, "", 0);
	mux_send(channel, 0, "e", 1);
	CHECK_STR(rig_output(rig), "DATA 1 'ab'; DATA/err 1 'cd'; DATA 1 'e'");
	mux_send(channel, 0, zeros, PROTO_PAYLOAD_MAX - 1);
	mux_send(channel, 0, "xyz", 3);
	CHECK_STR(rig_output(rig), "DATA 1 (16384); DATA 1 'yz'");
}

static void events_come_in_the_order_of_the_frames(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init(rig, MUX_GUEST);
	CHECK_INT(rig_feed_open(rig, 1, 5), 0);
	CHECK_INT(rig_feed_text(rig, PROTO_DATA, 1, "descr"), 0);
	CHECK_INT(rig_feed(rig, PROTO_DATA, PROTO_DATA_STDERR, 1, "e", 1), 0);
	CHECK_INT(rig_feed(rig, PROTO_REQUEST, 0, 1, "\0\0\0\0\0\x40size", 10), 0);
	CHECK_INT(rig_feed(rig, PROTO_EXIT, 0, 1, "\0\0\0\0\xff", 5), 0);
	CHECK_INT(rig_feed_text(rig, PROTO_EOF, 1, ""), 0);
	CHECK_INT(rig_feed_text(rig, PROTO_CLOSE, 1, ""), 0);
	CHECK_STR(rig_log(rig),
		  "open 1 1 5; data 1 'descr'; data/err 1 'e'; request 1 0 64 'size'; "
		  "exit 1 0 255; eof 1; closing 1");
	CHECK_STR(rig_output(rig), "ACCEPT 1; CLOSE 1");
	CHECK_STR(rig_log(rig), "closed 1");
}

static void channel_zero_goes_first_and_the_others_in_turn(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init(rig, MUX_HOST);
	struct mux_channel *one = open_accepted(rig);
	struct mux_channel *three = open_accepted(rig);
	mux_send(one, 0, zeros, 3 * PROTO_PAYLOAD_MAX);
	mux_send(three, 0, "key", 3);
	CHECK_INT(mux_ping(rig->mux, "p", 1), 0);
	CHECK_STR(rig_output(rig), "PING 'p'; DATA 1 (16384); DATA 3 'key'; DATA 1 (16384); "
				   "DATA 1 (16384)");
}

static void channel_zero_waits_for_little_only(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	const uint8_t *bytes;

	rig_init(rig, MUX_HOST);
	struct mux_channel *channel = open_accepted(rig);
	mux_send(channel, 0, zeros, PROTO_WINDOW);
	CHECK(mux_output(rig->mux, &bytes) <= 3 * PROTO_FRAME_MAX);
	CHECK_INT(mux_ping(rig->mux, "p", 1), 0);
	const char *output = rig_output(rig);
	CHECK(strstr(output, "PING") != NULL && strstr(output, "PING") < output + 80);
}

static void no_more_than_a_window_is_taken_to_send_until_credit_comes(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init(rig, MUX_HOST);
	struct mux_channel *channel = open_accepted(rig);
	CHECK_INT(mux_window(channel), PROTO_WINDOW);
	mux_send(channel, 0, zeros, PROTO_WINDOW - 10);
	CHECK_INT(mux_window(channel), 10);
	mux_send(channel, 0, zeros, 10);
	CHECK_INT(mux_window(channel), 0);
	rig_pull(rig, SIZE_MAX);
	CHECK_INT(rig_feed_u32(rig, PROTO_CREDIT, 1, 1000), 0);
	CHECK_INT(mux_window(channel), 1000);
	CHECK_STR(rig_log(rig), "credit 1 1000");
	CHECK_INT(rig_feed_u32(rig, PROTO_CREDIT, 1, PROTO_WINDOW - 1000), 0);
	CHECK_INT(mux_window(channel), PROTO_WINDOW);
}

static void more_data_than_the_window_is_a_violation(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init(rig, MUX_GUEST);
	rig->consume = false;
	struct mux_channel *channel = open_offered(rig, 1);
	CHECK_INT(feed_data(rig, 1, PROTO_WINDOW), 0);
	mux_consume(channel, 100); /* not told yet, so not the peer's to use */
	CHECK_INT(feed_data(rig, 1, 1), -1);
	CHECK_INT(rig->err.code, ERR_PROTOCOL);
	CHECK_STR(rig->err.text, "protocol violation: more DATA than the window allows");
	CHECK_STR(rig_output(rig),
		  "GOAWAY 10 protocol violation: more DATA than the window allows");
	CHECK_INT(rig_feed_text(rig, PROTO_PING, 0, ""), -1);
	CHECK(!mux_has_output(rig->mux));
}

static void credit_is_given_for_consumed_bytes_only_and_goes_ahead(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init(rig, MUX_GUEST);
	rig->consume = false;
	struct mux_channel *channel = open_offered(rig, 1);
	CHECK_INT(feed_data(rig, 1, PROTO_WINDOW), 0);
	CHECK_STR(rig_output(rig), "");
	mux_consume(channel, 35000);
	CHECK_STR(rig_output(rig), "");
	mux_send(channel, 0, "out", 3);
	mux_consume(channel, 35000);
	CHECK_STR(rig_output(rig), "CREDIT 1 70000; DATA 1 'out'");
	CHECK_INT(feed_data(rig, 1, 70000), 0);
	CHECK_INT(feed_data(rig, 1, 1), -1);
}

static void credit_for_bytes_that_did_not_leave_is_a_violation(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init(rig, MUX_HOST);
	struct mux_channel *channel = open_accepted(rig);
	mux_send(channel, 0, "abc", 3);
	rig_pull(rig, SIZE_MAX);
	mux_send(channel, 0, "queued", 6);
	CHECK_INT(rig_feed_u32(rig, PROTO_CREDIT, 1, 3), 0);
	CHECK_INT(rig_feed_u32(rig, PROTO_CREDIT, 1, 1), -1);
	CHECK_STR(rig->err.text, "protocol violation: CREDIT for bytes that were not sent");
}

static void a_channel_goes_when_both_sides_closed(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init(rig, MUX_HOST);
	struct mux_channel *channel = open_accepted(rig);
	mux_close(channel);
	mux_close(channel);
	CHECK_INT(mux_window(channel), 0);
	mux_send(channel, 0, "too late", 8);
	CHECK_INT(mux_channel_request(channel, PROTO_SIGNAL, "", 0), -1);
	CHECK_STR(rig_output(rig), "CLOSE 1");
	/* Only `closed` is still called. */
	CHECK_INT(rig_feed_text(rig, PROTO_DATA, 1, "x"), 0);
	CHECK_INT(rig_feed_text(rig, PROTO_EOF, 1, ""), 0);
	CHECK_INT(rig_feed(rig, PROTO_EXIT, 0, 1, "\0\0\0\0\1", 5), 0);
	CHECK_INT(rig_feed(rig, PROTO_REQUEST, 0, 1, "\0\0\0\0\0\0", 6), 0);
	CHECK_STR(rig_log(rig), "");
	CHECK_INT(rig_feed_text(rig, PROTO_CLOSE, 1, ""), 0);
	CHECK_STR(rig_log(rig), "closed 1");
}

static void data_for_an_owner_who_closed_is_dropped_and_credited(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init(rig, MUX_HOST);
	rig->consume = false;
	struct mux_channel *channel = open_accepted(rig);
	CHECK_INT(feed_data(rig, 1, 70000), 0);
	(void)rig_log(rig);
	mux_close(channel);
	mux_consume(channel, 70000); /* its bytes were credited by mux_close: does nothing */
	CHECK_STR(rig_output(rig), "CREDIT 1 70000; CLOSE 1");
	CHECK_INT(feed_data(rig, 1, PROTO_WINDOW), 0);
	CHECK_STR(rig_log(rig), "");
	CHECK_STR(rig_output(rig), "CREDIT 1 1048576");
	CHECK_INT(rig_feed_text(rig, PROTO_CLOSE, 1, ""), 0);
	CHECK_STR(rig_output(rig), "");
}

static void an_owner_may_send_on_after_the_peer_closed(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init(rig, MUX_HOST);
	rig->hold_closing = true;
	struct mux_channel *channel = open_accepted(rig);
	mux_send(channel, 0, zeros, PROTO_WINDOW);
	rig_pull(rig, SIZE_MAX);
	buf_clear(&rig->stream);
	CHECK_INT(rig_feed_text(rig, PROTO_CLOSE, 1, ""), 0);
	CHECK_INT(rig_feed_u32(rig, PROTO_CREDIT, 1, 4), 0);
	CHECK_STR(rig_log(rig), "closing 1; credit 1 4");
	mux_send(channel, 0, "rest", 4);
	mux_close(channel);
	CHECK_STR(rig_output(rig), "DATA 1 'rest'; CLOSE 1");
	CHECK_STR(rig_log(rig), "closed 1");
}

static void only_credit_may_follow_close(void)
{
	const struct {
		uint8_t type;
		const char *text;
	} frames[] = {{PROTO_DATA, "x"}, {PROTO_EOF, ""}, {PROTO_CLOSE, ""}};

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;

		rig_init(rig, MUX_GUEST);
		rig->hold_closing = true;
		(void)open_offered(rig, 1);
		CHECK_INT(rig_feed_text(rig, PROTO_CLOSE, 1, ""), 0);
		CHECK_INT(rig_feed_text(rig, frames[i].type, 1, frames[i].text), -1);
		CHECK_STR(rig->err.text, "protocol violation: a frame after CLOSE");
	}
}

static void frames_for_a_channel_that_just_went_are_ignored(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	struct err err;

	rig_init(rig, MUX_GUEST);
	rig->hold_open = true;
	CHECK_INT(rig_feed_open(rig, 1, 5), 0);
	mux_reject(rig->last, PROTO_NOT_FOUND, "no such command");
	mux_accept(rig->last, NULL, 0);
	CHECK_INT(rig_feed_text(rig, PROTO_DATA, 1, "desc"), 0);
	CHECK_STR(rig_output(rig), "REJECT 1 3 no such command");
	CHECK_STR(rig_log(rig), "open 1 1 5; closed 1");
	CHECK_INT(rig_feed_text(rig, PROTO_DATA, 1, "r"), 0);
	CHECK_INT(rig_feed_u32(rig, PROTO_CREDIT, 1, 5), 0);
	CHECK_INT(rig_feed_text(rig, PROTO_CLOSE, 1, ""), 0);
	/* The same for one of ours. */
	CHECK(mux_open(rig->mux, KIND, 0, &rig_channel_ops, rig, &err) != NULL);
	CHECK_STR(rig_output(rig), "OPEN 2");
	CHECK_INT(rig_feed(rig, PROTO_REJECT, 0, 2, "\0\0\0\2\0\0\0\2no", 10), 0);
	CHECK_STR(rig_log(rig), "rejected 2 2 no; closed 2");
	CHECK_INT(rig_feed_u32(rig, PROTO_CREDIT, 2, 5), 0);
	CHECK_STR(rig_log(rig), "");
	CHECK_STR(rig_output(rig), "");
}

static void frames_for_a_channel_that_was_never_opened_are_a_violation(void)
{
	for (uint32_t id = 1; id <= 4; id++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;
		struct err err;

		rig_init(rig, MUX_GUEST);
		/* 2 is ours, but its OPEN has not left. */
		CHECK(mux_open(rig->mux, KIND, 0, &rig_channel_ops, rig, &err) != NULL);
		CHECK_INT(rig_feed_u32(rig, PROTO_CREDIT, id, 0), -1);
		CHECK(strstr(rig->err.text, "which is not open") != NULL);
	}
}

static void ids_are_of_the_peers_parity_and_only_grow(void)
{
	const struct {
		enum mux_side side;
		uint32_t first, second;
	} cases[] = {{MUX_GUEST, 3, 2}, {MUX_HOST, 4, 5}, {MUX_GUEST, 5, 5}, {MUX_HOST, 8, 6}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;

		rig_init(rig, cases[i].side);
		CHECK_INT(rig_feed_open(rig, cases[i].first, 0), 0);
		CHECK_INT(rig_feed_open(rig, cases[i].second, 0), -1);
		CHECK(strstr(rig->err.text, "OPEN of channel") != NULL);
	}
}

static void channels_beyond_the_limit_are_rejected_and_refused(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	struct err err;

	rig_init(rig, MUX_GUEST);
	for (uint32_t i = 0; i < PROTO_CHANNELS_MAX - 1; i++)
		CHECK_INT(rig_feed_open(rig, 1 + 2 * i, 0), 0);
	CHECK(mux_open(rig->mux, KIND, 0, &rig_channel_ops, rig, &err) != NULL);
	(void)rig_output(rig);
	CHECK(mux_open(rig->mux, KIND, 0, &rig_channel_ops, rig, &err) == NULL);
	CHECK_INT(err.code, ERR_BUSY);
	CHECK_INT(rig_feed_open(rig, 601, 0), 0);
	CHECK_STR(rig_output(rig), "REJECT 601 5 too many open channels");
	CHECK_INT(rig_feed_text(rig, PROTO_DATA, 601, "late"), 0);
	/* One goes: there is room again. */
	CHECK_INT(rig_feed_text(rig, PROTO_CLOSE, 1, ""), 0);
	(void)rig_output(rig);
	CHECK_INT(rig_feed_open(rig, 603, 0), 0);
	CHECK_STR(rig_output(rig), "ACCEPT 603");
}

static void a_description_beyond_the_limit_is_rejected_and_refused(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	struct err err;

	rig_init(rig, MUX_GUEST);
	CHECK_INT(rig_feed_open(rig, 1, PROTO_OPEN_MAX + 1), 0);
	CHECK_STR(rig_output(rig), "REJECT 1 5 the description is too large");
	CHECK_INT(rig_feed_open(rig, 3, PROTO_OPEN_MAX), 0);
	CHECK_STR(rig_log(rig), "open 3 1 2097152");
	CHECK(mux_open(rig->mux, KIND, PROTO_OPEN_MAX + 1, NULL, NULL, &err) == NULL);
	CHECK_INT(err.code, ERR_INVALID);
}

static void a_side_without_an_open_event_rejects(void)
{
	const struct mux_events events = {.hello = NULL};
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;
	const struct mux_hello hello = {.program = "x"};

	rig_init(rig, MUX_GUEST);
	mux_free(rig->mux);
	rig->mux = mux_new(MUX_GUEST, &events, NULL);
	mux_start(rig->mux, &hello, false);
	CHECK_INT(rig_feed_hello(rig, 1, 1), 0);
	CHECK_INT(rig_feed_open(rig, 1, 0), 0);
	CHECK_STR(rig_output(rig), "HELLO; REJECT 1 2 this side takes no channels");
}

static void until_it_accepted_the_acceptor_may_not_speak(void)
{
	const struct {
		uint8_t type;
		const char *bytes;
		size_t length;
	} frames[] = {{PROTO_DATA, "x", 1},
		      {PROTO_EOF, "", 0},
		      {PROTO_EXIT, "\0\0\0\0\0", 5},
		      {PROTO_REQUEST, "\0\0\0\0\0\0", 6}};

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		struct rig rig_ auto_rig;
		struct rig *rig = &rig_;
		struct err err;

		rig_init(rig, MUX_HOST);
		CHECK(mux_open(rig->mux, KIND, 0, &rig_channel_ops, rig, &err) != NULL);
		(void)rig_output(rig);
		CHECK_INT(rig_feed(rig, frames[i].type, 0, 1, frames[i].bytes, frames[i].length),
			  -1);
		CHECK_STR(rig->err.text, "protocol violation: a frame before ACCEPT");
	}
}

static void an_unanswered_channel_takes_its_description_but_sends_nothing(void)
{
	struct rig rig_ auto_rig;
	struct rig *rig = &rig_;

	rig_init(rig, MUX_GUEST);
	rig->hold_open = true;
	CHECK_INT(rig_feed_open(rig, 1, PROTO_WINDOW), 0);
	struct mux_channel *channel = rig->last;
	CHECK_INT(mux_window(channel), 0);
	CHECK_INT(mux_channel_request(channel, PROTO_RESIZE, "", 0), -1);
	CHECK_INT(feed_data(rig, 1, 65536), 0);
	CHECK_STR(rig_output(rig), "CREDIT 1 65536");
	mux_accept(channel, "yes", 3);
	CHECK_INT(mux_window(channel), PROTO_WINDOW);
	CHECK_STR(rig_output(rig), "ACCEPT 1 'yes'");
}

TEST_MAIN(TEST(everything_of_a_channel_leaves_in_the_order_of_the_calls),
	  TEST(small_pieces_of_one_kind_leave_as_one_frame),
	  TEST(events_come_in_the_order_of_the_frames),
	  TEST(channel_zero_goes_first_and_the_others_in_turn),
	  TEST(channel_zero_waits_for_little_only),
	  TEST(no_more_than_a_window_is_taken_to_send_until_credit_comes),
	  TEST(more_data_than_the_window_is_a_violation),
	  TEST(credit_is_given_for_consumed_bytes_only_and_goes_ahead),
	  TEST(credit_for_bytes_that_did_not_leave_is_a_violation),
	  TEST(a_channel_goes_when_both_sides_closed),
	  TEST(data_for_an_owner_who_closed_is_dropped_and_credited),
	  TEST(an_owner_may_send_on_after_the_peer_closed), TEST(only_credit_may_follow_close),
	  TEST(frames_for_a_channel_that_just_went_are_ignored),
	  TEST(frames_for_a_channel_that_was_never_opened_are_a_violation),
	  TEST(ids_are_of_the_peers_parity_and_only_grow),
	  TEST(channels_beyond_the_limit_are_rejected_and_refused),
	  TEST(a_description_beyond_the_limit_is_rejected_and_refused),
	  TEST(a_side_without_an_open_event_rejects),
	  TEST(until_it_accepted_the_acceptor_may_not_speak),
	  TEST(an_unanswered_channel_takes_its_description_but_sends_nothing))
