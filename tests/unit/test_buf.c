#include "base/buf.h"
#include "base/mem.h"
#include "unit/test.h"

static void append_past_the_ceiling_changes_nothing(void)
{
	auto_buf struct buf buf;

	buf_init(&buf, 5);
	CHECK_INT(buf_append(&buf, "abc", 3), 0);
	CHECK_INT(buf_append(&buf, "def", 3), -1);
	CHECK_INT(buf_length(&buf), 3);
	CHECK_INT(buf_append(&buf, "de", 2), 0);
	CHECK_INT(buf_room(&buf), 0);
}

static void a_queue_keeps_its_order_across_many_turns(void)
{
	auto_buf struct buf buf;
	uint8_t in = 0;
	uint8_t out = 0;

	buf_init(&buf, 1000);
	for (int turn = 0; turn < 5000; turn++) {
		for (int i = 0; i < turn % 7; i++) {
			if (buf_append(&buf, &in, 1) == 0)
				in++;
		}
		for (int i = 0; i < turn % 5 && buf_length(&buf) > 0; i++) {
			CHECK_INT(buf_data(&buf)[0], out);
			buf_consume(&buf, 1);
			out++;
		}
	}
	CHECK_INT(buf_length(&buf), (uint8_t)(in - out) % 256 + (buf_length(&buf) / 256) * 256);
}

static void put_and_take(struct buf *buf, size_t length)
{
	CHECK(buf_reserve(buf, length) != NULL);
	buf_commit(buf, length);
	buf_consume(buf, length);
}

static void large_storage_is_given_back_once_it_is_not_needed(void)
{
	auto_buf struct buf buf;
	const uint8_t *storage;

	buf_init(&buf, 1 << 20);
	put_and_take(&buf, 1 << 20);
	storage = buf.bytes;
	CHECK(storage != NULL);
	put_and_take(&buf, 1 << 20);
	CHECK(buf.bytes == storage);
	put_and_take(&buf, 10);
	CHECK_INT(buf.capacity, 0);
}

static void take_string_ends_in_nul_and_empties(void)
{
	auto_buf struct buf buf;

	buf_init(&buf, 100);
	CHECK_INT(buf_printf(&buf, "%s %d", "x", 3), 0);
	auto_free char *text = buf_take_string(&buf);
	CHECK_STR(text, "x 3");
	CHECK_INT(buf_length(&buf), 0);
}

TEST_MAIN(TEST(append_past_the_ceiling_changes_nothing),
	  TEST(a_queue_keeps_its_order_across_many_turns),
	  TEST(large_storage_is_given_back_once_it_is_not_needed),
	  TEST(take_string_ends_in_nul_and_empties))
