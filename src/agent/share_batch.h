#pragma once
/*
 * Frames to the share port that are written in one go: each write costs the guest and the host an
 * interrupt. A passive object; the caller holds the queue's lock and writes.
 */
#include "agent/share_queue.h"

#define SHARE_BATCH_MAX 4096

struct share_batch {
	size_t used;
	uint8_t bytes[SHARE_BATCH_MAX];
};

/* What is due, as much as fits. Returns a request that is too large to be copied, whose header is the
 * last thing in the batch and which the caller reports as written, or NULL. */
const struct share_queued *share_batch_gather(struct share_batch *batch, struct share_queue *queue);
