#include "wire/frame.h"

#include "wire/proto.h"

static uint8_t checksum(const uint8_t *header)
{
	uint8_t sum = FRAME_CHECK_SEED;

	for (int i = 0; i < PROTO_FRAME_HEADER; i++)
		sum ^= header[i];
	return sum;
}

static void put_u32(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 24);
	at[1] = (uint8_t)(value >> 16);
	at[2] = (uint8_t)(value >> 8);
	at[3] = (uint8_t)value;
}

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

void frame_encode(const struct frame *frame, uint8_t *ret_header)
{
	ret_header[0] = frame->type;
	ret_header[1] = frame->flags;
	ret_header[2] = 0;
	ret_header[3] = 0;
	put_u32(ret_header + 4, frame->channel);
	put_u32(ret_header + 8, frame->length);
	ret_header[2] = checksum(ret_header);
}

bool frame_decode(const uint8_t *header, uint32_t max, struct frame *ret_frame)
{
	uint32_t length = get_u32(header + 8);

	/* The sum of a sound header, its check byte included, is zero. */
	if (checksum(header) != 0 || header[3] != 0 || length > max)
		return false;
	*ret_frame = (struct frame){
	    .type = header[0],
	    .flags = header[1],
	    .channel = get_u32(header + 4),
	    .length = length,
	};
	return true;
}
