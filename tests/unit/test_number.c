#include "base/number.h"
#include "unit/test.h"

static bool takes(const char *text, unsigned base, uint64_t max, uint64_t value, const char *rest)
{
	const char *p = text;
	uint64_t is = 99;

	return number_take(&p, base, max, &is) && is == value && strcmp(p, rest) == 0;
}

static bool refuses(const char *text, unsigned base, uint64_t max)
{
	const char *p = text;
	uint64_t is = 99;

	return !number_take(&p, base, max, &is) && is == 99 && p == text;
}

static void digits_are_taken_and_the_rest_is_left(void)
{
	CHECK(takes("0", 10, 0, 0, ""));
	CHECK(takes("007x", 10, 7, 7, "x"));
	CHECK(takes("12a", 10, 100, 12, "a"));
	CHECK(takes("12aF-g", 16, 0xffff, 0x12af, "-g"));
}

static void what_is_no_number_is_refused(void)
{
	CHECK(refuses("", 10, 9));
	CHECK(refuses("-1", 10, 9));
	CHECK(refuses("+1", 10, 9));
	CHECK(refuses(" 1", 10, 9));
	CHECK(refuses("a", 10, 9));
	CHECK(refuses("g", 16, 99));
}

static void the_maximum_is_exact_up_to_the_largest_number(void)
{
	CHECK(takes("255", 10, 255, 255, ""));
	CHECK(refuses("256", 10, 255));
	CHECK(refuses("9", 10, 5));
	CHECK(takes("18446744073709551615", 10, UINT64_MAX, UINT64_MAX, ""));
	CHECK(refuses("18446744073709551616", 10, UINT64_MAX));
	CHECK(takes("ffffffffffffffff", 16, UINT64_MAX, UINT64_MAX, ""));
	CHECK(refuses("10000000000000000", 16, UINT64_MAX));
	CHECK(refuses("99999999999999999999999999", 10, UINT64_MAX));
}

static void a_literal_is_skipped_only_where_it_stands(void)
{
	const char *p = "device 1";

	CHECK(!number_skip(&p, "inode "));
	CHECK(number_skip(&p, "device "));
	CHECK_STR(p, "1");
	CHECK(!number_skip(&p, "12"));
}

TEST_MAIN(TEST(digits_are_taken_and_the_rest_is_left), TEST(what_is_no_number_is_refused),
	  TEST(the_maximum_is_exact_up_to_the_largest_number),
	  TEST(a_literal_is_skipped_only_where_it_stands))
