#include "agent/share_along.h"

#include "agent/share_fuse.h"

#include <string.h>

void share_along_init(struct share_along *along)
{
	along->life = 1;
}

static struct share_along_slot *slot_of(struct share_along *along, const uint8_t *node)
{
	return &along->slots[node[0] % SHARE_ALONG_SLOTS];
}

void share_along_put(struct share_along *along, const uint8_t payload[SHARE_ALONG_SIZE],
		     uint64_t now_ms)
{
	struct share_along_slot *slot = slot_of(along, payload);

	slot->life = along->life;
	slot->until_ms = now_ms + SHARE_ALONG_MS;
	memcpy(slot->bytes, payload, sizeof(slot->bytes));
}

void share_along_forget(struct share_along *along)
{
	along->life++;
}

bool share_along_answer(struct share_along *along, const uint8_t *request, uint64_t now_ms,
			uint8_t ret_reply[SHARE_ALONG_REPLY])
{
	struct share_along_slot *slot = slot_of(along, request + FUSE_AT_NODE);
	uint32_t length = SHARE_ALONG_REPLY;
	uint32_t opcode;

	memcpy(&opcode, request + FUSE_AT_OPCODE, sizeof(opcode));
	switch (opcode) {
	case OP_GETATTR:
		break;
	case OP_LOOKUP:
	case OP_FORGET:
	case OP_READLINK:
	case OP_READ:
	case OP_WRITE:
	case OP_READDIR:
	case OP_BATCH_FORGET:
	case OP_READDIRPLUS:
		return false;
	case OP_SETATTR:
	case OP_SYMLINK:
	case OP_MKNOD:
	case OP_MKDIR:
	case OP_UNLINK:
	case OP_LINK:
		/* They change the directory that the header names. */
		slot->life = 0;
		return false;
	default:
		share_along_forget(along);
		return false;
	}
	if (slot->life != along->life || now_ms >= slot->until_ms ||
	    memcmp(slot->bytes, request + FUSE_AT_NODE, 8) != 0)
		return false;
	memset(ret_reply, 0, FUSE_OUT_HEADER);
	memcpy(ret_reply, &length, sizeof(length));
	memcpy(ret_reply + 8, request + FUSE_AT_UNIQUE, 8);
	memcpy(ret_reply + FUSE_OUT_HEADER, slot->bytes + 8, SHARE_ALONG_SIZE - 8);
	return true;
}
