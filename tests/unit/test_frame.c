#include "base/cleanup.h"
#include "unit/test.h"
#include "wire/frame.h"
#include "wire/proto.h"

static void a_header_lies_on_the_wire_as_documented(void)
{
	const struct frame frame = {PROTO_DATA, PROTO_DATA_STDERR, 0x01020304, 0x3fff};
	const uint8_t expected[PROTO_FRAME_HEADER] = {
	    5, 1, 0xa5 ^ 5 ^ 1 ^ 1 ^ 2 ^ 3 ^ 4 ^ 0x3f ^ 0xff, 0, 1, 2, 3, 4, 0, 0, 0x3f, 0xff};
	uint8_t header[PROTO_FRAME_HEADER];

	frame_encode(&frame, header);
	CHECK(memcmp(header, expected, sizeof(header)) == 0);
}

static void what_was_encoded_is_decoded(void)
{
	const struct frame frames[] = {
	    {0, 0, 0, 0}, {255, 255, UINT32_MAX, UINT32_MAX}, {1, 2, 3, 4}, {14, 0, 0, 16384}};

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		uint8_t header[PROTO_FRAME_HEADER];
		struct frame frame;

		frame_encode(&frames[i], header);
		CHECK(frame_decode(header, UINT32_MAX, &frame));
		CHECK_INT(frame.type, frames[i].type);
		CHECK_INT(frame.flags, frames[i].flags);
		CHECK_INT(frame.channel, frames[i].channel);
		CHECK_INT(frame.length, frames[i].length);
	}
}

static void every_changed_bit_is_noticed(void)
{
	const struct frame frame = {PROTO_DATA, 0, 77, 5};
	uint8_t header[PROTO_FRAME_HEADER];
	struct frame out = {.type = 99};

	for (unsigned int bit = 0; bit < 8 * PROTO_FRAME_HEADER; bit++) {
		frame_encode(&frame, header);
		header[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CHECK(!frame_decode(header, UINT32_MAX, &out));
	}
	CHECK_INT(out.type, 99);
}

static void the_reserved_byte_is_zero_even_with_a_right_check_byte(void)
{
	const struct frame frame = {PROTO_DATA, 0, 77, 5};
	uint8_t header[PROTO_FRAME_HEADER];
	struct frame out;

	frame_encode(&frame, header);
	header[3] ^= 1;
	header[2] ^= 1;
	CHECK(!frame_decode(header, UINT32_MAX, &out));
}

static void the_length_is_bounded(void)
{
	const struct frame frame = {PROTO_DATA, 0, 77, 101};
	uint8_t header[PROTO_FRAME_HEADER];
	struct frame out;

	frame_encode(&frame, header);
	CHECK(frame_decode(header, 101, &out));
	CHECK(!frame_decode(header, 100, &out));
}

static void zeros_are_no_header(void)
{
	const uint8_t header[PROTO_FRAME_HEADER] = {0};
	struct frame out;

	CHECK(!frame_decode(header, UINT32_MAX, &out));
}

TEST_MAIN(TEST(a_header_lies_on_the_wire_as_documented), TEST(what_was_encoded_is_decoded),
	  TEST(every_changed_bit_is_noticed),
	  TEST(the_reserved_byte_is_zero_even_with_a_right_check_byte), TEST(the_length_is_bounded),
	  TEST(zeros_are_no_header))
