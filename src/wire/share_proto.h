#pragma once
/*
 * The share port: what travels between the share server on the host and the agent's pump, on a
 * virtio-serial port of its own. Frames have the header of frame.h (channel = number of the share)
 * and a larger payload limit; those of the host end with the byte PROTO_FRAME_END, which is in no
 * byte of a nonce; FUSE messages travel as the kernel wrote them, in the
 * guest's byte order, which is little-endian on every machine we run.
 *
 * (Re)connecting. Reads of a virtio-serial port do not tell that the host end was replaced
 * (research: both port events arrive back to back), so it is said in band. The server starts with
 * SERVER_HELLO (u64 nonce), written at a message boundary of its own stream; the agent finishes the
 * frame it is writing, sends AGENT_HELLO with the same nonce, and sends every request that has no
 * reply yet again, oldest first. The server drops everything before that AGENT_HELLO. Request
 * uniques that it answered already are answered from its reply cache.
 */
#include <stdint.h>

#define SHARE_DATA_MAX	      (1u << 20) /* FUSE max_write, and the largest READ */
#define SHARE_PAYLOAD_MAX     (SHARE_DATA_MAX + 65536u)
#define SHARE_OUTSTANDING_MAX 128 /* requests of one share without a reply */
#define SHARE_ALONG_SIZE      112
#define SHARE_EMPTY_SIZE      24

/* Flags of a frame. */
enum share_flag {
	/* On REQUEST: it was sent before, to a server that may have carried it out. */
	SHARE_AGAIN = 1,
};

enum share_type {
	SHARE_SERVER_HELLO = 33, /* host to guest: u64 nonce (big-endian) */
	SHARE_AGENT_HELLO = 34,	 /* guest to host: the nonce */
	SHARE_REQUEST = 35,	 /* guest to host: a FUSE request, fuse_in_header first */
	SHARE_REPLY = 36,	 /* host to guest: a FUSE reply, fuse_out_header first */
	SHARE_NOTIFY = 37,	 /* host to guest: a FUSE notification (unique 0) */
	SHARE_QUIESCE = 38,	 /* host to guest: forward no new requests; may be repeated */
	SHARE_QUIESCED = 39,	 /* guest to host, once for each: none is outstanding */
	SHARE_RESUME = 40,	 /* host to guest: go on */
	/* Host to guest: u64 node, fuse_attr_out: a directory that the request changed whose reply
	 * is the next frame. The kernel asks for it before it works in it again. */
	SHARE_ALONG = 41,
	/* Host to guest: some changes went unnoticed; what the kernel keeps and does not use is to
	 * be dropped. */
	SHARE_DROP = 42,
	/* Host to guest: u64 unique, u64 node, u64 seconds: a directory that the LOOKUP of that unique,
	 * whose reply is the next frame, was the first to look into: it was empty then and is watched. */
	SHARE_EMPTY = 43,
};
