#include "supervisor/relay.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define PLACED_MIN 4096

enum side {
	SIDE_CLIENT,
	SIDE_GUEST,
	SIDE_COUNT,
};

struct relay {
	struct mux_channel *ends[SIDE_COUNT]; /* NULL once closed */
	uint32_t *count;
};

static enum side side_of(const struct relay *relay, const struct mux_channel *channel)
{
	return relay->ends[SIDE_CLIENT] == channel ? SIDE_CLIENT : SIDE_GUEST;
}

/* The other end, NULL once that is closed. */
static struct mux_channel *other(struct mux_channel *channel)
{
	struct relay *relay = mux_user(channel);

	return relay->ends[!side_of(relay, channel)];
}

static void on_accepted(struct mux_channel *guest, const uint8_t *payload, size_t length)
{
	if (other(guest))
		mux_accept(other(guest), payload, length);
}

static void on_rejected(struct mux_channel *guest, uint32_t code, const char *text)
{
	if (other(guest))
		mux_reject(other(guest), (enum proto_reject)code, text);
}

/* Copied once where that can be; small pieces are better put together. */
static void pass(struct mux_channel *to, uint8_t flags, const uint8_t *bytes, size_t length)
{
	struct iovec places[MUX_PLACES];

	if (length < PLACED_MIN || mux_places(to, length, places) != 1 ||
	    places[0].iov_len < length) {
		mux_send(to, flags, bytes, length);
		return;
	}
	memcpy(places[0].iov_base, bytes, length);
	mux_placed(to, flags, length);
}

static void on_data(struct mux_channel *channel, uint8_t flags, const uint8_t *bytes, size_t length)
{
	if (other(channel))
		pass(other(channel), flags, bytes, length);
	else
		mux_consume(channel, (uint32_t)length); /* nobody there to want it */
}

static void on_credit(struct mux_channel *channel, uint32_t bytes)
{
	if (other(channel))
		mux_consume(other(channel), bytes);
}

static void on_eof(struct mux_channel *channel)
{
	if (other(channel))
		mux_eof(other(channel));
}

static void on_exit_status(struct mux_channel *guest, enum proto_exit how, uint32_t value)
{
	if (other(guest))
		mux_exit(other(guest), how, value);
}

static void on_request(struct mux_channel *channel, uint32_t id, uint16_t what,
		       const uint8_t *payload, size_t length)
{
	(void)id;
	/* A full queue means a peer that does not read; a lost resize is the lesser evil. */
	if (other(channel))
		(void)mux_channel_request(other(channel), (enum proto_what)what, payload, length);
}

static void on_closing(struct mux_channel *channel)
{
	if (other(channel))
		mux_close(other(channel));
	mux_close(channel);
}

static void on_closed(struct mux_channel *channel, bool lost)
{
	struct relay *relay = mux_user(channel);
	enum side side = side_of(relay, channel);

	(void)lost;
	relay->ends[side] = NULL;
	if (relay->ends[!side]) {
		mux_close(relay->ends[!side]);
	} else {
		(*relay->count)--;
		free(relay);
	}
}

static const struct mux_channel_ops relay_ops = {
    .accepted = on_accepted,
    .rejected = on_rejected,
    .data = on_data,
    .eof = on_eof,
    .exit = on_exit_status,
    .request = on_request,
    .credit = on_credit,
    .closing = on_closing,
    .closed = on_closed,
};

void relay_start(struct mux *agent, struct mux_channel *client, uint16_t kind, uint32_t length,
		 uint32_t *count)
{
	struct relay *relay;
	struct mux_channel *guest;
	struct err err = ERR_INIT;

	relay = xcalloc(1, sizeof(*relay));
	guest = mux_open(agent, (enum proto_kind)kind, length, &relay_ops, relay, &err);
	if (!guest) {
		free(relay);
		mux_reject(client, PROTO_NO_RESOURCES, err.text);
		return;
	}
	relay->count = count;
	(*count)++;
	relay->ends[SIDE_CLIENT] = client;
	relay->ends[SIDE_GUEST] = guest;
	mux_set_ops(client, &relay_ops, relay);
}
