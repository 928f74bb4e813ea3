#pragma once
/*
 * The requests of all mounts on their way to the host, and what the protocol wants said in between.
 * A passive object.
 *
 * A request lives from share_queue_add to its reply. What is to be written next, and in which
 * order, is decided in one place, share_queue_next: a hello first, then requests oldest first, each
 * once per server (epoch). Requests without a reply (FORGET) wait until another one goes, or until
 * they are many, or for share_queue_flush: a removed tree would send one after each UNLINK. A reply
 * that arrives while its request is being written again frees it only after the write.
 */
#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHARE_QUEUE_WAITING_MAX 32

struct share_queued {
	struct list link;
	uint64_t unique;
	uint32_t mount;
	uint32_t epoch; /* of the server it was last sent to; 0: none */
	bool again;	/* sent to an earlier server before */
	bool answered;
	bool expects_reply;
	size_t length;
	uint8_t bytes[];
};

struct share_queue {
	struct list requests;
	struct share_queued *in_write;
	uint32_t epoch; /* counts servers; 0: none has said hello yet */
	uint64_t nonce;
	bool hello_due;
	bool held; /* quiesced: nothing new is sent */
	bool quiesced_due;
	bool quiesced_said; /* once for each time it was asked */
	bool flush;	    /* what waits for company goes now */
	size_t unanswered;  /* sent and expecting a reply */
};

enum share_queue_what {
	SHARE_QUEUE_NOTHING,
	SHARE_QUEUE_HELLO,
	SHARE_QUEUE_QUIESCED,
	SHARE_QUEUE_REQUEST,
};

void share_queue_init(struct share_queue *queue);
void share_queue_done(struct share_queue *queue);

/* Copies a request of the kernel's. */
void share_queue_add(struct share_queue *queue, uint32_t mount, const void *request, size_t length,
		     uint64_t unique, bool expects_reply);

/* A server said hello, or asked to hold or to go on. */
void share_queue_hello(struct share_queue *queue, uint64_t nonce);
void share_queue_hold(struct share_queue *queue);
void share_queue_go_on(struct share_queue *queue);

/* A reply came. False: nobody asked; it must not reach the kernel. */
bool share_queue_answer(struct share_queue *queue, uint32_t mount, uint64_t unique);

/* What is to be written now. For REQUEST *ret_request stays valid until share_queue_written. */
enum share_queue_what share_queue_next(struct share_queue *queue,
				       struct share_queued **ret_request);
void share_queue_written(struct share_queue *queue);

/* Whether requests wait for company; and that they have waited long enough. */
bool share_queue_waits(const struct share_queue *queue);
void share_queue_flush(struct share_queue *queue);

/* How much of a mount waits. */
void share_queue_load(const struct share_queue *queue, uint32_t mount, size_t *ret_count,
		      size_t *ret_bytes);
