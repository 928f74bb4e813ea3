#pragma once
/*
 * The link to the supervisor: a descriptor and the mux on it. The descriptor is inherited, or the
 * virtio port found by its name, opened as soon as it is there and again when its host end was
 * replaced. The mux (and with it all channels) lives as long as one opening.
 */
#include "agent/loop.h"
#include "wire/mux.h"

#define LINK_PORT_NAME "org.dxvm.agent.0"

struct link;

/* Opens the virtio port of that name, non-blocking. ERR_NOT_FOUND when it is not there (yet). */
int link_open_port(const char *name, int *ret_fd, struct err *err);

/* fd >= 0: the link owns it, and `ended` is called when it ends (from the loop, at most once; the
 * link may be freed in it). fd < 0: finds the port. `resync`: the stream may stand inside a frame
 * already at the first opening. */
struct link *link_new(struct loop *loop, int fd, bool resync, const struct mux_hello *hello,
		      const struct mux_events *events, void (*ended)(void *ctx, const char *why),
		      void *ctx);
/* Closes all channels as lost. */
void link_free(struct link *link);

/* NULL while it is not open. */
struct mux *link_mux(const struct link *link);

/* Counts the openings: tells whether an answer still goes to who asked. */
uint32_t link_generation(const struct link *link);

/* Both sides have said GOAWAY and everything is written: all channels are lost, and nothing is
 * written until the host speaks again, perhaps another one after a suspend. It begins with HELLO.
 */
void link_rest(struct link *link);

/* Writes what can be written; to be called at the end of each turn. */
void link_flush(struct link *link);
bool link_is_flushed(const struct link *link);
