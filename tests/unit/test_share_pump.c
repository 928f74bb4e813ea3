/* The guest's end of the share port: which request is sent when, what is a frame, and when to look on. */
#include "agent/share_batch.h"
#include "agent/share_look.h"
#include "agent/share_queue.h"
#include "agent/share_stream.h"
#include "unit/test.h"
#include "wire/proto.h"
#include "wire/share_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void add(struct share_queue *queue, uint64_t unique)
{
	share_queue_add(queue, 1, &unique, sizeof(unique), unique, true);
}

/* The unique of the request that is to be written next, 0 when it is something else or nothing. */
static uint64_t next_request(struct share_queue *queue, bool *ret_again)
{
	struct share_queued *request = NULL;
	uint64_t unique = 0;

	if (share_queue_next(queue, &request) == SHARE_QUEUE_REQUEST) {
		unique = request->unique;
		*ret_again = request->again;
		share_queue_written(queue);
	}
	return unique;
}

static enum share_queue_what next_other(struct share_queue *queue)
{
	struct share_queued *request;
	enum share_queue_what what = share_queue_next(queue, &request);

	share_queue_written(queue);
	return what;
}

static void nothing_is_sent_before_a_server_said_hello(void)
{
	struct share_queue queue;
	bool again = false;

	share_queue_init(&queue);
	add(&queue, 2);
	CHECK_INT(next_other(&queue), SHARE_QUEUE_NOTHING);
	share_queue_hello(&queue, 7);
	CHECK_INT(next_other(&queue), SHARE_QUEUE_HELLO);
	CHECK_INT(next_request(&queue, &again), 2);
	CHECK(!again);
	share_queue_done(&queue);
}

static void the_next_server_gets_what_has_no_answer_oldest_first_and_once(void)
{
	struct share_queue queue;
	bool again = false;

	share_queue_init(&queue);
	share_queue_hello(&queue, 7);
	(void)next_other(&queue);
	for (uint64_t unique = 2; unique <= 8; unique += 2) {
		add(&queue, unique);
		CHECK_INT(next_request(&queue, &again), unique);
	}
	CHECK(share_queue_answer(&queue, 1, 4));
	add(&queue, 10);
	share_queue_hello(&queue, 9);
	CHECK_INT(next_other(&queue), SHARE_QUEUE_HELLO);
	CHECK_INT(next_request(&queue, &again), 2);
	CHECK(again);
	CHECK_INT(next_request(&queue, &again), 6);
	CHECK_INT(next_request(&queue, &again), 8);
	CHECK_INT(next_request(&queue, &again), 10);
	CHECK(!again);
	CHECK_INT(next_other(&queue), SHARE_QUEUE_NOTHING);
	share_queue_done(&queue);
}

static void an_answer_nobody_asked_for_is_refused(void)
{
	struct share_queue queue;
	bool again = false;

	share_queue_init(&queue);
	share_queue_hello(&queue, 7);
	(void)next_other(&queue);
	add(&queue, 2);
	CHECK(!share_queue_answer(&queue, 1, 2)); /* not sent yet */
	CHECK_INT(next_request(&queue, &again), 2);
	CHECK(!share_queue_answer(&queue, 2, 2)); /* of another mount */
	CHECK(!share_queue_answer(&queue, 1, 4));
	CHECK(share_queue_answer(&queue, 1, 2));
	CHECK(!share_queue_answer(&queue, 1, 2));
	share_queue_done(&queue);
}

static void quiet_is_said_once_when_the_last_answer_is_there(void)
{
	struct share_queue queue;
	bool again = false;

	share_queue_init(&queue);
	share_queue_hello(&queue, 7);
	(void)next_other(&queue);
	add(&queue, 2);
	CHECK_INT(next_request(&queue, &again), 2);
	share_queue_hold(&queue);
	add(&queue, 4);
	CHECK_INT(next_other(&queue), SHARE_QUEUE_NOTHING);
	CHECK(share_queue_answer(&queue, 1, 2));
	CHECK_INT(next_other(&queue), SHARE_QUEUE_QUIESCED);
	CHECK_INT(next_other(&queue), SHARE_QUEUE_NOTHING);
	share_queue_go_on(&queue);
	CHECK_INT(next_request(&queue, &again), 4);
	CHECK(!again);
	share_queue_done(&queue);
}

static void an_answer_during_a_repeated_write_waits_for_its_end(void)
{
	struct share_queue queue;
	struct share_queued *request = NULL;
	size_t count;
	size_t bytes;

	share_queue_init(&queue);
	share_queue_hello(&queue, 7);
	(void)next_other(&queue);
	add(&queue, 2);
	CHECK_INT(share_queue_next(&queue, &request), SHARE_QUEUE_REQUEST);
	CHECK(share_queue_answer(&queue, 1, 2));
	CHECK_INT(request->bytes[0], 2); /* still there to be written */
	share_queue_written(&queue);
	share_queue_load(&queue, 1, &count, &bytes);
	CHECK_INT(count, 0);
	share_queue_done(&queue);
}

static void what_expects_no_answer_is_gone_once_written(void)
{
	struct share_queue queue;
	bool again = false;
	size_t count;
	size_t bytes;

	share_queue_init(&queue);
	share_queue_hello(&queue, 7);
	(void)next_other(&queue);
	share_queue_add(&queue, 1, "x", 1, 2, false);
	share_queue_flush(&queue);
	CHECK_INT(next_request(&queue, &again), 2);
	share_queue_load(&queue, 1, &count, &bytes);
	CHECK_INT(count, 0);
	CHECK_INT(next_request(&queue, &again), 0);
	share_queue_done(&queue);
}

static void what_expects_no_answer_waits_for_what_does(void)
{
	struct share_queue queue;
	bool again = false;

	share_queue_init(&queue);
	share_queue_hello(&queue, 7);
	(void)next_other(&queue);
	share_queue_add(&queue, 1, "x", 1, 2, false);
	share_queue_add(&queue, 1, "x", 1, 3, false);
	CHECK_INT(next_request(&queue, &again), 0);
	CHECK(share_queue_waits(&queue));
	add(&queue, 4);
	CHECK(!share_queue_waits(&queue));
	for (uint64_t unique = 2; unique <= 4; unique++)
		CHECK_INT(next_request(&queue, &again), unique);
	CHECK_INT(next_request(&queue, &again), 0);
	share_queue_add(&queue, 1, "x", 1, 5, false);
	share_queue_hold(&queue);
	CHECK(!share_queue_waits(&queue));
	share_queue_go_on(&queue);
	CHECK_INT(next_request(&queue, &again), 0);
	/* Nor for ever, when many wait. */
	for (uint64_t unique = 6; unique < 5 + SHARE_QUEUE_WAITING_MAX; unique++)
		share_queue_add(&queue, 1, "x", 1, unique, false);
	for (uint64_t unique = 5; unique < 5 + SHARE_QUEUE_WAITING_MAX; unique++)
		CHECK_INT(next_request(&queue, &again), unique);
	share_queue_done(&queue);
}

#define LARGE 1000000 /* many times what the smallest pipe holds, also of 64 KiB */

/* Adds a request of that length, full of the low byte of its unique. */
static void add_long(struct share_queue *queue, uint64_t unique, size_t length)
{
	uint8_t *bytes = malloc(length);

	memset(bytes, (int)(unique & 255), length);
	share_queue_add(queue, 1, bytes, length, unique, true);
	free(bytes);
}

/* A port that takes little at a time, and what came out of it. */
struct port {
	int ends[2];
	uint8_t bytes[2 * LARGE];
	size_t used;
	const uint8_t *at;
	int blocked; /* how often it took no more */
};

/* With a queue whose server has been greeted. */
static void port_open(struct port *port, struct share_queue *queue)
{
	struct share_queued *none;

	share_queue_init(queue);
	share_queue_hello(queue, 7);
	CHECK_INT(share_queue_next(queue, &none), SHARE_QUEUE_HELLO);
	CHECK_INT(pipe2(port->ends, O_NONBLOCK | O_CLOEXEC), 0);
	CHECK(fcntl(port->ends[1], F_SETPIPE_SZ, 4096) >= 0);
	port->used = 0;
	port->at = port->bytes;
	port->blocked = 0;
}

static void port_close(struct port *port)
{
	(void)close(port->ends[0]);
	(void)close(port->ends[1]);
}

static int put_some(struct port *port, struct share_batch *batch, struct share_queue *queue)
{
	int r = share_batch_write(batch, queue, port->ends[1]);

	port->blocked += r == 0;
	for (ssize_t n; (n = read(port->ends[0], port->bytes + port->used, 777)) > 0;)
		port->used += (size_t)n;
	return r;
}

/* Takes one frame's bytes off; true if it is that, of the byte given all through. */
static bool is_next(struct port *port, uint8_t type, uint8_t flags, uint8_t byte, size_t length)
{
	struct frame frame;
	bool same = frame_decode(port->at, SHARE_PAYLOAD_MAX, &frame) && frame.type == type &&
		    frame.flags == flags && frame.length == length;

	port->at += PROTO_FRAME_HEADER;
	for (size_t i = 0; same && i < length; i++)
		same = port->at[i] == byte;
	port->at += length;
	return same;
}

static void a_port_that_takes_little_gets_everything_in_order(void)
{
	static struct share_batch batch;
	static struct port port;
	struct share_queue queue;
	int r;

	port_open(&port, &queue);
	for (uint64_t unique = 1; unique <= 20; unique++)
		add_long(&queue, unique, 500);
	add_long(&queue, 21, LARGE);
	add_long(&queue, 22, 500);
	while ((r = put_some(&port, &batch, &queue)) == 0)
		continue;
	CHECK_INT(r, 1);
	CHECK(port.blocked > 10);
	for (uint8_t unique = 1; unique <= 22; unique++)
		CHECK(is_next(&port, SHARE_REQUEST, 0, unique, unique == 21 ? LARGE : 500));
	CHECK(port.at == port.bytes + port.used);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)close(port.ends[0]);
	add(&queue, 23);
	CHECK_INT(share_batch_write(&batch, &queue, port.ends[1]), -1);
	CHECK_INT(errno, EPIPE);
	(void)close(port.ends[1]);
	share_queue_done(&queue);
}

/* The next server can tell where the first whole frame begins; what was begun is brought to its end. */
static void another_server_in_the_middle_of_a_request_changes_nothing_of_it(void)
{
	static struct share_batch batch;
	static struct port port;
	struct share_queue queue;
	int r;

	port_open(&port, &queue);
	add_long(&queue, 1, 500);
	add_long(&queue, 2, LARGE);
	CHECK_INT(put_some(&port, &batch, &queue), 0);
	share_queue_hello(&queue, 0x0909090909090909);
	CHECK(share_queue_answer(&queue, 1, 2)); /* by the server before, to an earlier sending */
	while ((r = put_some(&port, &batch, &queue)) == 0)
		continue;
	CHECK_INT(r, 1);
	CHECK(is_next(&port, SHARE_REQUEST, 0, 1, 500));
	CHECK(is_next(&port, SHARE_REQUEST, 0, 2, LARGE));
	CHECK(is_next(&port, SHARE_AGENT_HELLO, 0, 9, 8));
	CHECK(is_next(&port, SHARE_REQUEST, SHARE_AGAIN, 1, 500));
	CHECK(port.at == port.bytes + port.used);
	port_close(&port);
	share_queue_done(&queue);
}

#define SOON (SHARE_LOOK_NS / 2)
#define LATE (SHARE_LOOK_NS * 2)

static void looking_on_begins_when_requests_follow_answers_soon(void)
{
	struct share_look look = {.soon = false};
	uint64_t now = 1000;

	CHECK(!share_look_on(&look, now));
	share_look_asked(&look, now);
	share_look_answered(&look, now += LATE);
	CHECK(!share_look_on(&look, now)); /* nobody knows whether another one comes */
	share_look_asked(&look, now += SOON);
	CHECK(!share_look_on(&look, now)); /* the host is at work */
	share_look_answered(&look, now += LATE);
	CHECK(share_look_on(&look, now));
	CHECK(share_look_on(&look, now + SOON));
}

static void looking_on_ends_when_nothing_follows(void)
{
	struct share_look look = {.soon = true};
	uint64_t now = 1000;

	share_look_answered(&look, now);
	CHECK(share_look_on(&look, now + SHARE_LOOK_NS - 1));
	CHECK(!share_look_on(&look, now + SHARE_LOOK_NS));
	share_look_asked(&look, now += LATE);
	share_look_answered(&look, now += SOON);
	CHECK(!share_look_on(&look, now));
}

static size_t put_frame(uint8_t *at, uint8_t type, const void *payload, uint32_t length)
{
	frame_encode(&(struct frame){.type = type, .length = length}, at);
	memcpy(at + PROTO_FRAME_HEADER, payload, length);
	at[PROTO_FRAME_HEADER + length] = PROTO_FRAME_END;
	return PROTO_FRAME_HEADER + length + 1;
}

static void feed(struct share_stream *stream, const uint8_t *bytes, size_t length)
{
	size_t size;
	uint8_t *space = share_stream_space(stream, &size);

	CHECK(size >= length);
	memcpy(space, bytes, length);
	share_stream_fed(stream, length);
}

#define NONCE_A "\1\2\3\4\5\6\7\10"
#define NONCE_B "\21\22\23\24\25\26\27\30"

static void frames_arrive_in_any_pieces(void)
{
	struct share_stream stream;
	uint8_t bytes[256];
	size_t length = put_frame(bytes, SHARE_SERVER_HELLO, NONCE_A, 8);
	unsigned frames = 0;

	length += put_frame(bytes + length, SHARE_REPLY, "twelve bytes", 12);
	share_stream_init(&stream);
	for (size_t i = 0; i < length; i++) {
		struct frame frame;
		const uint8_t *payload;

		feed(&stream, bytes + i, 1);
		while (share_stream_next(&stream, &frame, &payload) > 0)
			frames++;
	}
	CHECK_INT(frames, 2);
	CHECK_INT(stream.nonce, 0x0102030405060708);
	share_stream_done(&stream);
}

/* Every place where a dying server can stop, and every size of pieces. */
static void a_frame_cut_by_the_end_of_a_server_is_thrown_away(void)
{
	uint8_t bytes[512];
	size_t hello = put_frame(bytes, SHARE_SERVER_HELLO, NONCE_A, 8);
	size_t whole = put_frame(bytes + hello, SHARE_REPLY, "an answer that is cut", 21);

	for (size_t cut = 0; cut <= whole; cut++) {
		for (size_t piece = 1; piece < 40; piece++) {
			struct share_stream stream;
			struct frame frame;
			const uint8_t *payload;
			size_t length = hello + cut;
			unsigned replies = 0;
			unsigned after = 0;
			uint8_t sent[512];

			memcpy(sent, bytes, length);
			length += put_frame(sent + length, SHARE_SERVER_HELLO, NONCE_A, 8);
			length += put_frame(sent + length, SHARE_SERVER_HELLO, NONCE_B, 8);
			length += put_frame(sent + length, SHARE_NOTIFY, "the next", 8);
			share_stream_init(&stream);
			for (size_t at = 0; at < length; at += piece) {
				feed(&stream, sent + at, length - at < piece ? length - at : piece);
				while (share_stream_next(&stream, &frame, &payload) > 0) {
					replies += frame.type == SHARE_REPLY;
					after += frame.type == SHARE_NOTIFY;
				}
			}
			CHECK_INT(replies, cut == whole);
			CHECK_INT(after, 1);
			CHECK_INT(stream.nonce, 0x1112131415161718);
			share_stream_done(&stream);
		}
	}
}

static void a_lost_stream_is_found_again_with_the_next_server(void)
{
	struct share_stream stream;
	struct frame frame;
	const uint8_t *payload;
	uint8_t bytes[128];
	size_t length = put_frame(bytes, SHARE_SERVER_HELLO, NONCE_A, 8);

	share_stream_init(&stream);
	feed(&stream, bytes, length);
	CHECK_INT(share_stream_next(&stream, &frame, &payload), 1);
	memset(bytes, 0x55, sizeof(bytes));
	feed(&stream, bytes, sizeof(bytes));
	CHECK_INT(share_stream_next(&stream, &frame, &payload), -1);
	CHECK_INT(share_stream_next(&stream, &frame, &payload), 0);
	length = put_frame(bytes, SHARE_SERVER_HELLO, NONCE_A, 8);
	length += put_frame(bytes + length, SHARE_SERVER_HELLO, NONCE_B, 8);
	feed(&stream, bytes, length);
	CHECK_INT(share_stream_next(&stream, &frame, &payload), 1);
	CHECK_INT(frame.type, SHARE_SERVER_HELLO);
	share_stream_done(&stream);
}

TEST_MAIN(TEST(nothing_is_sent_before_a_server_said_hello),
	  TEST(the_next_server_gets_what_has_no_answer_oldest_first_and_once),
	  TEST(an_answer_nobody_asked_for_is_refused),
	  TEST(quiet_is_said_once_when_the_last_answer_is_there),
	  TEST(an_answer_during_a_repeated_write_waits_for_its_end),
	  TEST(what_expects_no_answer_is_gone_once_written),
	  TEST(what_expects_no_answer_waits_for_what_does),
	  TEST(a_port_that_takes_little_gets_everything_in_order),
	  TEST(another_server_in_the_middle_of_a_request_changes_nothing_of_it),
	  TEST(looking_on_begins_when_requests_follow_answers_soon),
	  TEST(looking_on_ends_when_nothing_follows), TEST(frames_arrive_in_any_pieces),
	  TEST(a_frame_cut_by_the_end_of_a_server_is_thrown_away),
	  TEST(a_lost_stream_is_found_again_with_the_next_server))
