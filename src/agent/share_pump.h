#pragma once
/*
 * The guest's end of the share port: carries FUSE messages between /dev/fuse, one per mount, and
 * the port (wire/share_proto.h). The pump owns the port's descriptor and those of /dev/fuse; it
 * runs threads of its own and never blocks its caller on the host.
 *
 * Each request is kept until it was answered and is sent again when another server takes the port
 * over, so that neither a suspend nor the end of a server is an error for the programs in the
 * guest. Bounded: SHARE_OUTSTANDING_MAX requests and SHARE_PUMP_BYTES_MAX a mount; the kernel waits
 * beyond.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define SHARE_PUMP_MOUNTS_MAX 16
#define SHARE_PUMP_BYTES_MAX  (16u << 20)

struct share_pump;

/* Takes the port over (also when it fails) and starts its threads. */
struct share_pump *share_pump_start(int port_fd, struct err *err);

/* Mounts share `number` at `path`, an existing directory. Returns as soon as the kernel has it:
 * the first use waits for the host. Not for use by two threads at once. */
int share_pump_mount(struct share_pump *pump, uint32_t number, const char *path, bool read_only,
		     struct err *err);
