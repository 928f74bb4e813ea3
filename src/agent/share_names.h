#pragma once
/*
 * Before a file is made the kernel asks whether there is one of that name, which doubles the cost of
 * making it. Of a directory that was empty when the guest first looked into it the answer is known
 * here: there is none, unless the guest made it. The host says that it was empty (SHARE_EMPTY) and
 * watches it, so this ends with the first notification, like what the kernel believes itself.
 *
 * What the guest makes counts from the LOOKUP on that the host's word belongs to, not from its
 * arrival. The names are kept as a set of bits that errs to one side: a name that it may hold is
 * asked for. A passive object, one a mount.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHARE_NAMES_REPLY (16 + 128) /* fuse_out_header, fuse_entry_out */
#define SHARE_NAMES_SLOTS 64	     /* directories, by the low bits of their node's number */
#define SHARE_NAMES_BITS  8192

struct share_names_slot {
	uint64_t life; /* of the share_names; another one: nothing is known */
	uint64_t node;
	uint64_t asked;	  /* unique of the LOOKUP that began this */
	uint64_t seconds; /* an answer is good for them; 0: the host said nothing yet */
	uint8_t made[SHARE_NAMES_BITS / 8];
};

struct share_names {
	uint64_t life; /* from 1 on */
	struct share_names_slot slots[SHARE_NAMES_SLOTS];
};

/* In memory that is zeroed, and much of which is never touched. */
void share_names_init(struct share_names *names);
/* The host's word (SHARE_EMPTY). */
void share_names_empty(struct share_names *names, const uint8_t *payload);
/* Something changed on the host, or we do not know what. */
void share_names_forget(struct share_names *names);

/* Looks at each request of the kernel's, at least its header. True: ret_reply is the reply to it, with
 * its header, and it is not to be sent. */
bool share_names_answer(struct share_names *names, const uint8_t *request, size_t length,
			uint8_t ret_reply[SHARE_NAMES_REPLY]);
