#pragma once
/*
 * After each change in a directory the kernel asks for the directory's attributes again, before it
 * works there next. The server sends them along with its answer, and the question is answered here.
 * That is the same promise as the one about attributes that the kernel keeps, and it ends the same
 * way: by a notification, or a request that changes them. A passive object, one a mount.
 */
#include "wire/share_proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHARE_ALONG_REPLY (16 + SHARE_ALONG_SIZE - 8)
#define SHARE_ALONG_SLOTS 64 /* directories, by the low bits of their node's number */
#define SHARE_ALONG_MS	  10000

struct share_along_slot {
	uint64_t life;	   /* of the share_along; another one: nothing is known */
	uint64_t until_ms; /* monotonic */
	uint8_t bytes[SHARE_ALONG_SIZE];
};

struct share_along {
	uint64_t life; /* from 1 on */
	struct share_along_slot slots[SHARE_ALONG_SLOTS];
};

/* In memory that is zeroed, and much of which is never touched. */
void share_along_init(struct share_along *along);
void share_along_put(struct share_along *along, const uint8_t payload[SHARE_ALONG_SIZE],
		     uint64_t now_ms);
/* Something changed on the host, or we do not know what. */
void share_along_forget(struct share_along *along);

/* Looks at a request of the kernel's, at least its header. True: ret_reply is the reply to it, with
 * its header, and it is not to be sent. */
bool share_along_answer(struct share_along *along, const uint8_t *request, uint64_t now_ms,
			uint8_t ret_reply[SHARE_ALONG_REPLY]);
