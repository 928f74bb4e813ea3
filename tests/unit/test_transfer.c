/* What people are told of a download. */
#include "cli/transfer.h"
#include "unit/test.h"

#define MIB ((uint64_t)1 << 20)

static const char *print(const struct transfer *transfer)
{
	static char text[96];

	transfer_print(transfer, text, sizeof(text));
	return text;
}

static void no_rate_is_told_before_there_was_a_second(void)
{
	struct transfer t;

	transfer_start(&t, 10, 0, 1000 * MIB);
	CHECK_STR(print(&t), "0 of 1000 MiB");
	transfer_move(&t, 10.5, 50 * MIB, 1000 * MIB);
	CHECK_STR(print(&t), "50 of 1000 MiB");
	transfer_move(&t, 12, 100 * MIB, 1000 * MIB);
	CHECK_STR(print(&t), "100 of 1000 MiB, 50.0 MiB/s, 0:18 left");
}

static void what_was_there_before_is_no_part_of_the_rate(void)
{
	struct transfer t;

	transfer_start(&t, 0, 900 * MIB, 1000 * MIB);
	transfer_move(&t, 10, 910 * MIB, 1000 * MIB);
	CHECK_STR(print(&t), "910 of 1000 MiB, 1.0 MiB/s, 1:30 left");
}

static void a_standstill_lowers_the_rate(void)
{
	struct transfer t;

	transfer_start(&t, 0, 0, 100 * MIB);
	transfer_move(&t, 1, 10 * MIB, 100 * MIB);
	transfer_move(&t, 2, 10 * MIB, 100 * MIB);
	CHECK_STR(print(&t), "10 of 100 MiB, 7.0 MiB/s, 0:12 left");
}

static void beginning_anew_begins_the_rate_anew(void)
{
	struct transfer t;

	transfer_start(&t, 0, 0, 100 * MIB);
	transfer_move(&t, 1, 10 * MIB, 100 * MIB);
	transfer_move(&t, 2, 0, 100 * MIB);
	CHECK_STR(print(&t), "0 of 100 MiB");
}

static void an_unknown_length_has_no_time_left(void)
{
	struct transfer t;

	transfer_start(&t, 0, 0, 0);
	transfer_move(&t, 2, 3 * MIB, 0);
	CHECK_STR(print(&t), "3 MiB, 1.5 MiB/s");
}

static void long_times_are_hours_and_very_long_ones_days(void)
{
	struct transfer t;

	transfer_start(&t, 0, 0, 7201 * MIB);
	transfer_move(&t, 1, MIB, 7201 * MIB);
	CHECK_STR(print(&t), "1 of 7201 MiB, 1.0 MiB/s, 2:00:00 left");
	transfer_start(&t, 0, 0, 7201 * MIB);
	transfer_move(&t, 1, 1024, 7201 * MIB);
	CHECK_STR(print(&t), "0 of 7201 MiB, 0.0 MiB/s, days left");
}

TEST_MAIN(TEST(no_rate_is_told_before_there_was_a_second),
	  TEST(what_was_there_before_is_no_part_of_the_rate), TEST(a_standstill_lowers_the_rate),
	  TEST(beginning_anew_begins_the_rate_anew), TEST(an_unknown_length_has_no_time_left),
	  TEST(long_times_are_hours_and_very_long_ones_days))
