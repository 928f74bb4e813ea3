#include "agent/share_names.h"

#include "agent/share_fuse.h"

#include <limits.h>
#include <string.h>

#define AT_ENTRY_VALID (FUSE_OUT_HEADER + 16) /* a nodeid of 0 before it: there is none */

void share_names_init(struct share_names *names)
{
	names->life = 1;
}

void share_names_forget(struct share_names *names)
{
	names->life++;
}

static struct share_names_slot *slot_for(struct share_names *names, uint64_t node)
{
	return &names->slots[node % SHARE_NAMES_SLOTS];
}

/* NULL: nothing is kept of the directory. */
static struct share_names_slot *slot_of(struct share_names *names, uint64_t node)
{
	struct share_names_slot *slot = slot_for(names, node);

	return slot->life == names->life && slot->node == node ? slot : NULL;
}

/* FNV-1a, folded, of a name that ends with a NUL, or with the request. */
static size_t bit_of(const uint8_t *request, size_t length, size_t at)
{
	uint32_t hash = 2166136261u;

	for (; at < length && request[at]; at++)
		hash = (hash ^ request[at]) * 16777619u;
	return (hash ^ hash >> 16) % SHARE_NAMES_BITS;
}

void share_names_empty(struct share_names *names, const uint8_t *payload)
{
	struct share_names_slot *slot = slot_of(names, fuse_u64(payload + 8));

	if (slot && slot->asked == fuse_u64(payload))
		slot->seconds = fuse_u64(payload + 16);
}

static void note_made(struct share_names *names, uint64_t node, const uint8_t *request,
		      size_t length, size_t at)
{
	struct share_names_slot *slot = slot_of(names, node);
	size_t bit = bit_of(request, length, at);

	if (slot)
		slot->made[bit / 8] |= (uint8_t)(1u << bit % 8);
}

static void drop(struct share_names *names, uint64_t node)
{
	struct share_names_slot *slot = slot_of(names, node);

	if (slot)
		slot->life = 0;
}

/* The host's answer to a longer one is another: ENAMETOOLONG. */
static bool may_be_a_name(const uint8_t *request, size_t length)
{
	return strnlen((const char *)request + FUSE_IN_HEADER, length - FUSE_IN_HEADER) <= NAME_MAX;
}

static bool lookup(struct share_names *names, uint64_t node, const uint8_t *request, size_t length,
		   uint8_t *ret_reply)
{
	struct share_names_slot *slot = slot_of(names, node);
	uint32_t reply_length = SHARE_NAMES_REPLY;
	size_t bit;

	if (!slot) {
		slot = slot_for(names, node);
		*slot = (struct share_names_slot){
		    .life = names->life, .node = node, .asked = fuse_u64(request + FUSE_AT_UNIQUE)};
		return false;
	}
	bit = bit_of(request, length, FUSE_IN_HEADER);
	if (slot->seconds == 0 || (slot->made[bit / 8] & 1u << bit % 8) ||
	    !may_be_a_name(request, length))
		return false;
	memset(ret_reply, 0, SHARE_NAMES_REPLY);
	memcpy(ret_reply, &reply_length, sizeof(reply_length));
	memcpy(ret_reply + 8, request + FUSE_AT_UNIQUE, 8);
	memcpy(ret_reply + AT_ENTRY_VALID, &slot->seconds, sizeof(slot->seconds));
	return true;
}

bool share_names_answer(struct share_names *names, const uint8_t *request, size_t length,
			uint8_t ret_reply[SHARE_NAMES_REPLY])
{
	uint64_t node = fuse_u64(request + FUSE_AT_NODE);
	uint32_t opcode;

	memcpy(&opcode, request + FUSE_AT_OPCODE, sizeof(opcode));
	switch (opcode) {
	case OP_LOOKUP:
		return lookup(names, node, request, length, ret_reply);
	case OP_SYMLINK:
		note_made(names, node, request, length, FUSE_IN_HEADER);
		break;
	case OP_MKDIR:
	case OP_LINK:
		note_made(names, node, request, length, FUSE_IN_HEADER + 8);
		break;
	case OP_MKNOD:
	case OP_CREATE:
		note_made(names, node, request, length, FUSE_IN_HEADER + 16);
		break;
	case OP_RENAME:
	case OP_RENAME2:
		/* Two names of unequal kinds; where to is the first word of the body. */
		drop(names, node);
		if (length >= FUSE_IN_HEADER + 8)
			drop(names, fuse_u64(request + FUSE_IN_HEADER));
		break;
	default:
		break;
	}
	return false;
}
