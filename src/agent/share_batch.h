#pragma once
/*
 * What is on its way to the share port: frames that are written in one go, since each write costs the
 * guest and the host an interrupt. A passive object but for the write.
 */
#include "agent/share_queue.h"

#define SHARE_BATCH_MAX 4096

struct share_batch {
	const struct share_queued *large; /* too large to be copied; its header ends the bytes */
	size_t used;
	size_t written; /* of the bytes, then of `large` */
	uint8_t bytes[SHARE_BATCH_MAX];
};

/* Writes what is due to a descriptor that does not block. 1: all; 0: it takes no more now; -1 with
 * errno. */
int share_batch_write(struct share_batch *batch, struct share_queue *queue, int fd);
