#pragma once
/*
 * Splices a client's channel to a channel of the agent, so that the supervisor stands in the middle
 * of a session without taking part in it: data, EOF, EXIT, requests and CLOSE pass in order, and so
 * does credit. Because credit is given to one side only when the other gave it, what is in flight
 * is the same on both hops, and the relay needs no buffer of its own.
 */
#include "wire/mux.h"

/* Opens `kind` on the agent's mux and joins it to the channel a client just opened, or rejects that
 * with the reason. *count goes up by one until both ends are closed; it must outlive the relay. */
void relay_start(struct mux *agent, struct mux_channel *client, uint16_t kind, uint32_t length,
		 uint32_t *count);
