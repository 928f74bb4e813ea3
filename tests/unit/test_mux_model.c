/*
 * Two muxes joined by pipes that deliver in pieces of any size, and a random walk over everything
 * their owners may do. Byte number n of a direction of a channel is a function of n and the id, and
 * every REQUEST, EOF and EXIT carries, or is checked against, the count of bytes before it: so
 * loss, doubling and any change of order shows. The walk is the same at every run.
 */
#include "base/mem.h"
#include "unit/test.h"
#include "wire/msg.h"
#include "wire/mux.h"

#include <stdlib.h>

#define STEPS 200000
#define SMALL 600 /* most bytes a step sends, but for those that fill the window */

struct side;

/* One end of a channel. */
struct end {
	struct side *side;
	struct mux_channel *channel;
	struct end *next;
	uint32_t id;
	uint64_t sent, received, held; /* held: received and not consumed */
	uint32_t requests_sent, requests_received;
	bool accepted, eof, exited, ended, peer_eof, peer_closed;
};

struct side {
	struct mux *mux;
	struct side *other;
	struct end *ends; /* open ones */
	struct end *done; /* to be freed */
	unsigned int count;
	unsigned int pings, pongs, hellos, full_windows, placed;
	uint64_t total_received;
	struct buf pipe; /* bytes on their way to `other` */
};

static uint64_t random_state = 88172645463325252ULL;

static uint32_t rnd(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 20) % below;
}

static uint8_t content(uint32_t id, uint64_t n)
{
	return (uint8_t)(n * 7 + id * 13 + (n >> 8));
}

static void on_accepted(struct mux_channel *channel, const uint8_t *payload, size_t length)
{
	struct end *end = mux_user(channel);

	CHECK(!end->accepted && length == 2 && memcmp(payload, "ok", 2) == 0);
	end->accepted = true;
}

static void on_data(struct mux_channel *channel, uint8_t flags, const uint8_t *bytes, size_t length)
{
	struct end *end = mux_user(channel);
	bool right = !end->ended && !end->peer_eof && !end->peer_closed;

	/* Standard error every 1000 bytes for 100: a flag is a function of the place as well. */
	for (size_t i = 0; i < length; i++) {
		uint64_t n = end->received + i;

		right &= bytes[i] == content(end->id, n) && (n % 1000 < 100) == (flags != 0);
	}
	CHECK(right);
	end->received += length;
	end->held += length;
	end->side->total_received += length;
	CHECK(end->held <= PROTO_WINDOW);
}

static void on_request(struct mux_channel *channel, uint32_t id, uint16_t what,
		       const uint8_t *payload, size_t length)
{
	struct end *end = mux_user(channel);
	struct msg_reader reader;

	msg_read_from(&reader, payload, length);
	CHECK(id == 0 && what == PROTO_SIGNAL && !end->ended);
	CHECK(msg_read_u64(&reader) == end->received);
	CHECK_INT(msg_read_u32(&reader), ++end->requests_received);
	CHECK(msg_ok(&reader) && reader.left == 0);
}

static void on_eof(struct mux_channel *channel)
{
	struct end *end = mux_user(channel);

	CHECK(!end->peer_eof);
	end->peer_eof = true;
}

static void on_exit_event(struct mux_channel *channel, enum proto_exit how, uint32_t value)
{
	struct end *end = mux_user(channel);

	CHECK(how == PROTO_EXITED && value == end->received % 256);
}

static void on_closing(struct mux_channel *channel)
{
	struct end *end = mux_user(channel);

	CHECK(!end->peer_closed && !end->ended);
	end->peer_closed = true;
}

static void on_closed(struct mux_channel *channel, bool lost)
{
	struct end *end = mux_user(channel);
	struct end **at = &end->side->ends;

	CHECK(!lost);
	while (*at != end)
		at = &(*at)->next;
	*at = end->next;
	end->next = end->side->done;
	end->side->done = end;
	end->channel = NULL;
	end->side->count--;
}

static const struct mux_channel_ops ops = {
    .accepted = on_accepted,
    .data = on_data,
    .eof = on_eof,
    .exit = on_exit_event,
    .request = on_request,
    .closing = on_closing,
    .closed = on_closed,
};

static struct end *end_new(struct side *side)
{
	struct end *end = xcalloc(1, sizeof(*end));

	end->side = side;
	end->next = side->ends;
	side->ends = end;
	side->count++;
	return end;
}

static void on_open(void *ctx, struct mux_channel *channel, uint16_t kind, uint32_t length)
{
	struct end *end = end_new(ctx);

	CHECK(kind == PROTO_KIND_SESSION && length == 77);
	end->channel = channel;
	end->id = mux_channel_id(channel);
	mux_set_ops(channel, &ops, end);
}

static void on_hello(void *ctx, const struct mux_hello *hello)
{
	((struct side *)ctx)->hellos += hello->uptime_ns == 5;
}

static void on_link_request(void *ctx, uint32_t id, uint16_t what, const uint8_t *payload,
			    size_t length)
{
	CHECK(what == PROTO_STATUS && length == 1 && payload[0] == 'q');
	CHECK_INT(mux_reply(((struct side *)ctx)->mux, id, PROTO_OK, "a", 1), 0);
}

static void on_pong(void *ctx, const uint8_t *payload, size_t length)
{
	CHECK(length == 4 && memcmp(payload, "ping", 4) == 0);
	((struct side *)ctx)->pongs++;
}

static void on_reply(void *ctx, uint32_t id, uint32_t code, const uint8_t *payload, size_t length)
{
	CHECK(id == 9 && code == PROTO_OK && length == 1 && payload[0] == 'a');
	((struct side *)ctx)->pongs++;
}

static const struct mux_events events = {
    .hello = on_hello,
    .open = on_open,
    .request = on_link_request,
    .reply = on_reply,
    .pong = on_pong,
};

/* One of the two ways there are. */
static void send(struct end *end, uint8_t flags, const uint8_t *bytes, uint32_t length)
{
	struct iovec places[MUX_PLACES];

	if (rnd(2) == 0 && mux_places(end->channel, length, places) > 0) {
		CHECK_INT(places[0].iov_len, length);
		memcpy(places[0].iov_base, bytes, length);
		mux_placed(end->channel, flags, length);
		end->side->placed++;
	} else {
		mux_send(end->channel, flags, bytes, length);
	}
}

static void send_some(struct end *end)
{
	uint8_t bytes[SMALL];
	uint32_t want = rnd(160) == 0 ? PROTO_WINDOW : 1 + rnd(SMALL);

	while (want > 0 && mux_window(end->channel) > 0) {
		bool is_err = end->sent % 1000 < 100;
		uint32_t part = (uint32_t)((is_err ? 100 : 1000) - end->sent % 1000);

		part = part < want ? part : want;
		part = part < SMALL ? part : SMALL;
		part = part < mux_window(end->channel) ? part : mux_window(end->channel);
		for (uint32_t i = 0; i < part; i++)
			bytes[i] = content(end->id, end->sent + i);
		send(end, is_err ? PROTO_DATA_STDERR : 0, bytes, part);
		end->sent += part;
		want -= part;
	}
	end->side->full_windows += want > 0;
}

static void send_request(struct end *end)
{
	auto_buf struct buf payload;

	buf_init(&payload, 12);
	(void)msg_write_u64(&payload, end->sent);
	(void)msg_write_u32(&payload, end->requests_sent + 1);
	if (mux_channel_request(end->channel, PROTO_SIGNAL, buf_data(&payload), 12) == 0)
		end->requests_sent++;
}

/* One thing an owner does; `ending`: what ends a direction is likely. */
static void step_channel(struct end *end, bool ending)
{
	bool ours = (end->id % 2 == 1) == (end->side->other > end->side);
	uint32_t what = rnd(ending ? 130 : 100);

	if (end->ended)
		return;
	if (!ours && !end->accepted) {
		end->accepted = true;
		mux_accept(end->channel, "ok", 2);
	} else if (what < 60) {
		if (!end->eof)
			send_some(end);
	} else if (what < 90) {
		uint32_t part = end->held > 0 ? 1 + rnd((uint32_t)end->held) : 0;

		mux_consume(end->channel, part);
		end->held -= part;
	} else if (what < 97) {
		send_request(end);
	} else if (what == 97 && !end->exited) {
		end->exited = true;
		end->eof = true;
		mux_exit(end->channel, PROTO_EXITED, (uint32_t)(end->sent % 256));
		mux_eof(end->channel);
	} else if (what > 97 && (end->eof || rnd(4) == 0)) {
		end->ended = true;
		mux_close(end->channel);
	}
}

static struct end *pick(struct side *side)
{
	struct end *end = side->ends;

	for (uint32_t i = side->count ? rnd(side->count) : 0; i > 0; i--)
		end = end->next;
	return end;
}

static void open_one(struct side *side)
{
	struct err err;
	struct end *end = end_new(side);

	end->channel = mux_open(side->mux, PROTO_KIND_SESSION, 77, &ops, end, &err);
	CHECK(end->channel != NULL);
	if (!end->channel)
		abort();
	end->id = mux_channel_id(end->channel);
}

/* Takes a piece out of the mux and delivers a piece of what is on its way. */
static bool carry(struct side *side, uint32_t most)
{
	const uint8_t *bytes;
	size_t length = mux_output(side->mux, &bytes);
	auto_free uint8_t *piece = NULL;
	struct err err;

	length = length < most ? length : 1 + rnd(most);
	length = length < (1u << 20) - buf_length(&side->pipe) ? length : 0;
	CHECK_INT(buf_append(&side->pipe, bytes, length), 0);
	mux_sent(side->mux, length);
	length = buf_length(&side->pipe);
	if (length == 0)
		return false;
	length = length < most ? length : 1 + rnd(most);
	/* Exactly as long, so that a sanitizer sees a read past it. */
	piece = xmemdup(buf_data(&side->pipe), length);
	buf_consume(&side->pipe, length);
	if (mux_feed(side->other->mux, piece, length, &err) < 0) {
		printf("# %s\n", err.text);
		test_failed = true;
		abort();
	}
	return true;
}

static void check_bounds(struct side *side)
{
	uint64_t in_flight = 0;

	for (struct end *end = side->ends; end; end = end->next) {
		CHECK(mux_window(end->channel) <= PROTO_WINDOW);
		in_flight += end->eof ? PROTO_WINDOW : PROTO_WINDOW - mux_window(end->channel);
	}
	CHECK(mux_queued(side->mux) <=
	      in_flight + in_flight / 8 + 65536 + (uint64_t)side->count * 65536);
}

static void step(struct side *side)
{
	uint32_t what = rnd(100);
	struct end *end = pick(side);

	if (what < 1 && side->count < 40) {
		open_one(side);
	} else if ((what == 1 && mux_ping(side->mux, "ping", 4) == 0) ||
		   (what == 2 && mux_request(side->mux, 9, PROTO_STATUS, "q", 1) == 0)) {
		side->pings++;
	} else if (what < 70 && end) {
		step_channel(end, what < 10);
	} else {
		(void)carry(side, rnd(8) == 0 ? 40000 : 200);
	}
}

static void close_all(struct side *side)
{
	for (struct end *end = side->ends; end; end = end->next) {
		if (!end->ended)
			mux_close(end->channel);
		end->ended = true;
	}
}

/* Ends all channels, those whose OPEN is still on its way included. */
static void settle(struct side *a, struct side *b)
{
	bool moved;

	do {
		close_all(a);
		close_all(b);
		moved = carry(a, 30000);
		moved = carry(b, 30000) || moved;
	} while (moved || mux_has_output(a->mux) || mux_has_output(b->mux));
}

static void side_init(struct side *side, enum mux_side which, struct side *other)
{
	const struct mux_hello hello = {.uptime_ns = 5, .program = "model"};

	*side = (struct side){.other = other};
	buf_init(&side->pipe, 1u << 20);
	side->mux = mux_new(which, &events, side);
	mux_start(side->mux, &hello, false);
}

static void side_done(struct side *side)
{
	mux_free(side->mux);
	buf_done(&side->pipe);
	while (side->done) {
		struct end *end = side->done;

		side->done = end->next;
		free(end);
	}
}

/* The other end of the same channel among those that are done. */
static void compare(struct side *a, struct side *b)
{
	uint32_t whole = 0;

	for (struct end *one = a->done; one; one = one->next) {
		struct end *two = b->done;

		while (two && two->id != one->id)
			two = two->next;
		CHECK(two != NULL);
		if (!two)
			return;
		/* Whoever saw EOF before it closed itself saw every byte and request. */
		if (one->peer_eof) {
			CHECK(one->received == two->sent);
			whole++;
		}
		CHECK(one->received <= two->sent);
		CHECK(one->requests_received <= two->requests_sent);
	}
	CHECK(whole > 20);
}

static void a_long_random_walk_loses_doubles_and_reorders_nothing(void)
{
	struct side sides[2];
	struct side *host = &sides[0];
	struct side *guest = &sides[1];

	side_init(host, MUX_HOST, guest);
	side_init(guest, MUX_GUEST, host);
	while (host->hellos == 0 || guest->hellos == 0)
		(void)carry(rnd(2) ? host : guest, 7);
	for (int i = 0; i < STEPS && !test_failed; i++) {
		step(rnd(2) ? host : guest);
		if (i % 64 == 0) {
			check_bounds(host);
			check_bounds(guest);
		}
	}
	settle(host, guest);
	CHECK(host->ends == NULL && guest->ends == NULL);
	CHECK_INT(mux_queued(host->mux), 0);
	CHECK_INT(mux_queued(guest->mux), 0);
	CHECK_INT(host->pongs, host->pings);
	CHECK_INT(guest->pongs, guest->pings);
	CHECK(host->total_received > 1000000 && guest->total_received > 1000000);
	printf("# %llu and %llu bytes, %u and %u full windows\n",
	       (unsigned long long)host->total_received, (unsigned long long)guest->total_received,
	       host->full_windows, guest->full_windows);
	CHECK(host->full_windows > 100 && guest->full_windows > 100);
	CHECK(host->placed > 100 && guest->placed > 100);
	compare(host, guest);
	compare(guest, host);
	side_done(host);
	side_done(guest);
}

TEST_MAIN(TEST(a_long_random_walk_loses_doubles_and_reorders_nothing))
