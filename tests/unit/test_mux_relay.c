/*
 * A client, a relay of two muxes and an agent, as in the real thing: the relay sends on what it
 * gets and consumes what the next hop has credited. It holds no queue of its own.
 */
#include "base/mem.h"
#include "unit/test.h"
#include "wire/msg.h"
#include "wire/mux.h"

#include <stdlib.h>

#define TOTAL (3u << 20)

static bool ending; /* the test takes the link down: channels are lost */
static uint8_t bytes_to_send[PROTO_WINDOW];

/* The relay's two ends of one channel. */
struct relay {
	struct mux *north; /* towards the client */
	struct mux *south; /* towards the agent */
};

/* A talker at either end. */
struct talker {
	struct mux *mux;
	struct mux_channel *channel;
	uint64_t sent, received, held;
	bool right, eof, closing, closed;
	enum proto_exit how;
	int value;
	uint32_t resizes;
};

static struct mux_channel *other(struct mux_channel *channel)
{
	return mux_user(channel);
}

static void pass_accepted(struct mux_channel *channel, const uint8_t *payload, size_t length)
{
	mux_accept(other(channel), payload, length);
}

static void pass_rejected(struct mux_channel *channel, uint32_t code, const char *text)
{
	mux_reject(other(channel), (enum proto_reject)code, text);
}

static void pass_data(struct mux_channel *channel, uint8_t flags, const uint8_t *bytes,
		      size_t length)
{
	/* The window of the next hop is never smaller than ours: its credit is what opens ours. */
	CHECK(length <= mux_window(other(channel)));
	mux_send(other(channel), flags, bytes, length);
}

static void pass_eof(struct mux_channel *channel)
{
	mux_eof(other(channel));
}

static void pass_exit(struct mux_channel *channel, enum proto_exit how, uint32_t value)
{
	mux_exit(other(channel), how, value);
}

static void pass_request(struct mux_channel *channel, uint32_t id, uint16_t what,
			 const uint8_t *payload, size_t length)
{
	CHECK_INT(id, 0);
	CHECK_INT(mux_channel_request(other(channel), (enum proto_what)what, payload, length), 0);
}

static void pass_credit(struct mux_channel *channel, uint32_t bytes)
{
	mux_consume(other(channel), bytes);
}

static void pass_closing(struct mux_channel *channel)
{
	mux_close(other(channel));
	mux_close(channel);
}

static void pass_closed(struct mux_channel *channel, bool lost)
{
	(void)channel;
	CHECK(lost == ending);
}

static const struct mux_channel_ops relay_ops = {
    .accepted = pass_accepted,
    .rejected = pass_rejected,
    .data = pass_data,
    .eof = pass_eof,
    .exit = pass_exit,
    .request = pass_request,
    .credit = pass_credit,
    .closing = pass_closing,
    .closed = pass_closed,
};

static void relay_open(void *ctx, struct mux_channel *channel, uint16_t kind, uint32_t length)
{
	struct relay *relay = ctx;
	struct err err;
	struct mux_channel *next =
	    mux_open(relay->south, (enum proto_kind)kind, length, &relay_ops, channel, &err);

	CHECK(next != NULL);
	mux_set_ops(channel, &relay_ops, next);
}

static uint8_t content(uint64_t n)
{
	return (uint8_t)(n ^ n >> 9);
}

static void talker_data(struct mux_channel *channel, uint8_t flags, const uint8_t *bytes,
			size_t length)
{
	struct talker *talker = mux_user(channel);

	(void)flags;
	for (size_t i = 0; i < length; i++)
		talker->right &= bytes[i] == content(talker->received + i);
	talker->received += length;
	talker->held += length;
}

static void talker_eof(struct mux_channel *channel)
{
	((struct talker *)mux_user(channel))->eof = true;
}

static void talker_exit(struct mux_channel *channel, enum proto_exit how, uint32_t value)
{
	struct talker *talker = mux_user(channel);

	CHECK_INT(talker->received, TOTAL);
	talker->how = how;
	talker->value = (int)value;
}

static void talker_request(struct mux_channel *channel, uint32_t id, uint16_t what,
			   const uint8_t *payload, size_t length)
{
	(void)id;
	(void)payload;
	CHECK(what == PROTO_RESIZE && length == 8);
	((struct talker *)mux_user(channel))->resizes++;
}

static void talker_closing(struct mux_channel *channel)
{
	((struct talker *)mux_user(channel))->closing = true;
	mux_close(channel);
}

static void talker_closed(struct mux_channel *channel, bool lost)
{
	struct talker *talker = mux_user(channel);

	CHECK(lost == ending);
	talker->closed = true;
	talker->channel = NULL;
}

static const struct mux_channel_ops talker_ops = {
    .data = talker_data,
    .eof = talker_eof,
    .exit = talker_exit,
    .request = talker_request,
    .closing = talker_closing,
    .closed = talker_closed,
};

static void agent_open(void *ctx, struct mux_channel *channel, uint16_t kind, uint32_t length)
{
	struct talker *agent = ctx;

	CHECK(kind == PROTO_KIND_SESSION && length == 10);
	agent->channel = channel;
	mux_set_ops(channel, &talker_ops, agent);
	mux_accept(channel, NULL, 0);
}

static const struct mux_events relay_events = {.open = relay_open};
static const struct mux_events agent_events = {.open = agent_open};
static const struct mux_events no_events;

struct house {
	struct talker client, agent;
	struct relay relay;
};

static bool carry(struct mux *from, struct mux *to)
{
	const uint8_t *bytes;
	size_t length = mux_output(from, &bytes);
	auto_free uint8_t *copy = xmemdup(bytes, length);
	struct err err;

	mux_sent(from, length);
	CHECK_INT(mux_feed(to, copy, length, &err), 0);
	return length > 0;
}

static void carry_all(struct house *house)
{
	bool moved;

	do {
		moved = carry(house->client.mux, house->relay.north);
		moved = carry(house->relay.north, house->client.mux) || moved;
		moved = carry(house->relay.south, house->agent.mux) || moved;
		moved = carry(house->agent.mux, house->relay.south) || moved;
	} while (moved);
}

static void house_init(struct house *house)
{
	const struct mux_hello hello = {.program = "x"};
	struct err err;

	*house = (struct house){.client = {.right = true, .value = -1}, .agent = {.right = true}};
	house->client.mux = mux_new(MUX_HOST, &no_events, NULL);
	house->relay.north = mux_new(MUX_GUEST, &relay_events, &house->relay);
	house->relay.south = mux_new(MUX_HOST, &no_events, NULL);
	house->agent.mux = mux_new(MUX_GUEST, &agent_events, &house->agent);
	mux_start(house->client.mux, &hello, false);
	mux_start(house->relay.north, &hello, false);
	mux_start(house->relay.south, &hello, false);
	mux_start(house->agent.mux, &hello, false);
	carry_all(house);
	house->client.channel =
	    mux_open(house->client.mux, PROTO_KIND_SESSION, 10, &talker_ops, &house->client, &err);
	carry_all(house);
	CHECK(house->client.channel && house->agent.channel);
}

static void house_done(struct house *house)
{
	ending = true;
	mux_free(house->client.mux);
	mux_free(house->relay.north);
	mux_free(house->relay.south);
	mux_free(house->agent.mux);
	ending = false;
}

static void send_all(struct talker *talker)
{
	uint32_t window = mux_window(talker->channel);
	uint32_t length = window < TOTAL - talker->sent ? window : (uint32_t)(TOTAL - talker->sent);

	for (uint32_t i = 0; i < length; i++)
		bytes_to_send[i] = content(talker->sent + i);
	mux_send(talker->channel, 0, bytes_to_send, length);
	talker->sent += length;
}

static void a_reader_that_stops_stops_the_writer_and_costs_one_window_a_hop(void)
{
	struct house house;

	house_init(&house);
	for (int i = 0; i < 10; i++) {
		send_all(&house.client);
		send_all(&house.agent);
		carry_all(&house);
	}
	CHECK_INT(house.client.sent, PROTO_WINDOW);
	CHECK_INT(house.agent.received, PROTO_WINDOW);
	CHECK_INT(house.agent.sent, PROTO_WINDOW);
	CHECK_INT(house.client.received, PROTO_WINDOW);
	CHECK_INT(mux_queued(house.relay.north) + mux_queued(house.relay.south), 0);
	house_done(&house);
}

static void a_link_that_stops_in_the_middle_costs_the_relay_one_window(void)
{
	struct house house;

	house_init(&house);
	for (int i = 0; i < 10; i++) {
		send_all(&house.client);
		while (carry(house.client.mux, house.relay.north))
			;
	}
	CHECK_INT(house.client.sent, PROTO_WINDOW);
	CHECK(mux_queued(house.relay.south) >= PROTO_WINDOW);
	CHECK(mux_queued(house.relay.south) < PROTO_WINDOW + 1024);
	house_done(&house);
}

static void slow_readers_get_everything_in_order_both_ways(void)
{
	struct house house;
	uint32_t turns = 0;
	uint64_t most = 0;

	house_init(&house);
	while ((house.client.received < TOTAL || house.agent.received < TOTAL) && turns++ < 20000) {
		send_all(&house.client);
		send_all(&house.agent);
		carry_all(&house);
		for (int i = 0; i < 2; i++) {
			struct talker *talker = i ? &house.client : &house.agent;
			uint32_t part = talker->held < 1024 ? (uint32_t)talker->held : 1024;

			most = talker->held > most ? talker->held : most;
			mux_consume(talker->channel, part);
			talker->held -= part;
		}
	}
	CHECK_INT(house.client.received, TOTAL);
	CHECK_INT(house.agent.received, TOTAL);
	CHECK(house.client.right && house.agent.right);
	CHECK(most <= PROTO_WINDOW);
	/* EXIT and EOF stay behind the data also when nobody has carried them yet. */
	CHECK_INT(mux_channel_request(house.client.channel, PROTO_RESIZE, bytes_to_send, 8), 0);
	mux_exit(house.agent.channel, PROTO_SIGNALED, 15);
	mux_eof(house.agent.channel);
	mux_close(house.agent.channel);
	carry_all(&house);
	CHECK_INT(house.client.how, PROTO_SIGNALED);
	CHECK_INT(house.client.value, 15);
	CHECK(house.client.eof && house.client.closing);
	CHECK(house.client.closed && house.agent.closed);
	CHECK_INT(house.agent.resizes, 0); /* the agent had closed */
	house_done(&house);
}

static void exit_never_overtakes_output_through_the_relay(void)
{
	struct house house;

	house_init(&house);
	house.client.received = TOTAL - PROTO_WINDOW;
	house.agent.sent = TOTAL - PROTO_WINDOW;
	send_all(&house.agent);
	mux_exit(house.agent.channel, PROTO_EXITED, 7);
	mux_eof(house.agent.channel);
	mux_close(house.agent.channel);
	carry_all(&house);
	CHECK_INT(house.client.received, TOTAL);
	CHECK(house.client.right);
	CHECK_INT(house.client.value, 7);
	CHECK(house.client.closed && house.agent.closed);
	house_done(&house);
}

TEST_MAIN(TEST(a_reader_that_stops_stops_the_writer_and_costs_one_window_a_hop),
	  TEST(a_link_that_stops_in_the_middle_costs_the_relay_one_window),
	  TEST(slow_readers_get_everything_in_order_both_ways),
	  TEST(exit_never_overtakes_output_through_the_relay))
