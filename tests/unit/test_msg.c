#include "base/buf.h"
#include "unit/test.h"
#include "wire/msg.h"

static void read_from(struct msg_reader *reader, const struct buf *buf)
{
	msg_read_from(reader, buf_data(buf), buf_length(buf));
}

static void integers_are_big_endian_and_come_back(void)
{
	auto_buf struct buf buf;
	struct msg_reader reader;
	const uint8_t expected[] = {0xab, 0x12, 0x34, 1, 2, 3, 4, 0xff, 2, 3, 4, 5, 6, 7, 8};

	buf_init(&buf, 100);
	CHECK_INT(msg_write_u8(&buf, 0xab), 0);
	CHECK_INT(msg_write_u16(&buf, 0x1234), 0);
	CHECK_INT(msg_write_u32(&buf, 0x01020304), 0);
	CHECK_INT(msg_write_u64(&buf, 0xff02030405060708ULL), 0);
	CHECK_INT(buf_length(&buf), sizeof(expected));
	CHECK(memcmp(buf_data(&buf), expected, sizeof(expected)) == 0);
	read_from(&reader, &buf);
	CHECK_INT(msg_read_u8(&reader), 0xab);
	CHECK_INT(msg_read_u16(&reader), 0x1234);
	CHECK_INT(msg_read_u32(&reader), 0x01020304);
	CHECK(msg_read_u64(&reader) == 0xff02030405060708ULL);
	CHECK(msg_ok(&reader));
	CHECK_INT(reader.left, 0);
}

static void strings_and_lists_come_back(void)
{
	auto_buf struct buf buf;
	struct msg_reader reader;
	char one[] = "one", empty[] = "", two[] = "\xff\x01 two";
	char *list[] = {one, empty, two, NULL};

	buf_init(&buf, 100);
	CHECK_INT(msg_write_string(&buf, "text"), 0);
	CHECK_INT(msg_write_string(&buf, NULL), 0);
	CHECK_INT(msg_write_strings(&buf, list), 0);
	CHECK_INT(msg_write_strings(&buf, NULL), 0);
	read_from(&reader, &buf);
	auto_free char *text = msg_read_string(&reader, 4);
	auto_free char *nothing = msg_read_string(&reader, 0);
	CHECK_STR(text, "text");
	CHECK_STR(nothing, "");
	char **read = msg_read_strings(&reader, 3, 6);
	CHECK(read != NULL);
	if (read) {
		CHECK_STR(read[0], "one");
		CHECK_STR(read[1], "");
		CHECK_STR(read[2], "\xff\x01 two");
		CHECK(read[3] == NULL);
	}
	msg_free_strings(read);
	read = msg_read_strings(&reader, 0, 0);
	CHECK(read && !read[0]);
	msg_free_strings(read);
	CHECK(msg_ok(&reader));
	CHECK_INT(reader.left, 0);
}

static void every_cut_is_noticed_and_sticks(void)
{
	const uint8_t bytes[] = {0, 0, 0, 3, 'a', 'b', 'c'};

	for (size_t length = 0; length < sizeof(bytes); length++) {
		struct msg_reader reader;

		msg_read_from(&reader, bytes, length);
		CHECK(msg_read_string(&reader, 100) == NULL);
		CHECK(!msg_ok(&reader));
		CHECK_INT(msg_read_u8(&reader), 0);
		CHECK(!msg_ok(&reader));
	}
	struct msg_reader reader;
	uint8_t out[4] = {9, 9, 9, 9};

	msg_read_from(&reader, bytes, 3);
	CHECK_INT(msg_read_u32(&reader), 0);
	CHECK(!msg_ok(&reader));
	msg_read_from(&reader, bytes, 3);
	msg_read_bytes(&reader, out, 4);
	CHECK(!msg_ok(&reader));
	CHECK_INT(out[0], 9);
	msg_read_from(&reader, NULL, 0);
	msg_read_bytes(&reader, out, 0);
	CHECK(msg_ok(&reader));
}

static void strings_are_bounded_and_without_nul(void)
{
	const uint8_t with_nul[] = {0, 0, 0, 3, 'a', 0, 'c'};
	const uint8_t sound[] = {0, 0, 0, 3, 'a', 'b', 'c'};
	const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 'a'};
	struct msg_reader reader;

	msg_read_from(&reader, with_nul, sizeof(with_nul));
	CHECK(msg_read_string(&reader, 10) == NULL && !msg_ok(&reader));
	msg_read_from(&reader, sound, sizeof(sound));
	CHECK(msg_read_string(&reader, 2) == NULL && !msg_ok(&reader));
	msg_read_from(&reader, huge, sizeof(huge));
	CHECK(msg_read_string(&reader, SIZE_MAX) == NULL && !msg_ok(&reader));
}

static void lists_are_bounded_by_count_and_by_what_is_there(void)
{
	const uint8_t three[] = {0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	const uint8_t claims[] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};
	const uint8_t bad_second[] = {0, 0, 0, 2, 0, 0, 0, 1, 'a', 0, 0, 0, 9};
	struct msg_reader reader;
	char **strings;

	msg_read_from(&reader, three, sizeof(three));
	CHECK(msg_read_strings(&reader, 2, 10) == NULL && !msg_ok(&reader));
	msg_read_from(&reader, claims, sizeof(claims));
	CHECK(msg_read_strings(&reader, SIZE_MAX, 10) == NULL && !msg_ok(&reader));
	msg_read_from(&reader, bad_second, sizeof(bad_second));
	CHECK(msg_read_strings(&reader, 5, 10) == NULL && !msg_ok(&reader));
	msg_read_from(&reader, three, sizeof(three));
	strings = msg_read_strings(&reader, 3, 0);
	CHECK(strings != NULL && msg_ok(&reader));
	msg_free_strings(strings);
	msg_free_strings(NULL);
}

static void writers_keep_to_the_ceiling(void)
{
	char one[] = "one";
	char *list[] = {one, one, NULL};

	for (size_t max = 0; max < 18; max++) {
		auto_buf struct buf buf;

		buf_init(&buf, max);
		CHECK_INT(msg_write_string(&buf, "four"), max < 8 ? -1 : 0);
		CHECK_INT(buf_length(&buf), max < 8 ? 0 : 8);
		buf_clear(&buf);
		CHECK_INT(msg_write_strings(&buf, list), -1);
		buf_clear(&buf);
		CHECK_INT(msg_write_u64(&buf, 1), max < 8 ? -1 : 0);
	}
}

TEST_MAIN(TEST(integers_are_big_endian_and_come_back), TEST(strings_and_lists_come_back),
	  TEST(every_cut_is_noticed_and_sticks), TEST(strings_are_bounded_and_without_nul),
	  TEST(lists_are_bounded_by_count_and_by_what_is_there), TEST(writers_keep_to_the_ceiling))
