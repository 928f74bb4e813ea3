#include "base/mem.h"
#include "base/safe_text.h"
#include "unit/test.h"

#include <stdint.h>

static void check(const char *in, size_t length, enum safe_text_keep keep, const char *out)
{
	auto_free char *safe = safe_text(in, length, keep);

	CHECK_STR(safe, out);
}

#define LINE(in, out) check(in, sizeof(in) - 1, SAFE_TEXT_LINE, out)
#define TEXT(in, out) check(in, sizeof(in) - 1, SAFE_TEXT_NEWLINES, out)

static void plain_text_and_backslashes_pass(void)
{
	LINE("", "");
	LINE("a b~\\n", "a b~\\n");
	LINE("na\xc3\xafve \xe2\x82\xac \xf0\x9f\x9a\x80",
	     "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x9a\x80");
}

static void control_characters_are_escaped(void)
{
	LINE("\x1b]0;title\a", "\\x1b]0;title\\x07");
	LINE("a\0b", "a\\x00b");
	LINE("\x7f", "\\x7f");
	LINE("a\r\n\tb", "a\\r\\n\\tb");
}

static void newline_and_tab_pass_only_where_asked_for(void)
{
	TEXT("a\n\tb\r\x1b", "a\n\tb\\r\\x1b");
}

static void c1_controls_are_escaped_in_both_encodings(void)
{
	/* U+009B is CSI for a terminal in UTF-8 mode, 0x9b for one in an 8-bit mode. */
	LINE("\xc2\x9b"
	     "31m",
	     "\\u009b31m");
	LINE("\x9b"
	     "31m",
	     "\\x9b31m");
	LINE("\xc2\x80\xc2\x9f\xc2\xa0", "\\u0080\\u009f\xc2\xa0");
}

static void bytes_that_are_no_utf8_are_escaped_one_by_one(void)
{
	LINE("\xff\xfe", "\\xff\\xfe");
	LINE("\xc3", "\\xc3");			 /* cut off at the end */
	LINE("\xe2\x82", "\\xe2\\x82");		 /* the same, two of three */
	LINE("\xe2\x82x", "\\xe2\\x82x");	 /* cut off in the middle */
	LINE("\xc0\xaf", "\\xc0\\xaf");		 /* overlong '/' */
	LINE("\xc1\x9b", "\\xc1\\x9b");		 /* overlong '[' */
	LINE("\xe0\x80\x9b", "\\xe0\\x80\\x9b"); /* overlong ESC-like */
	LINE("\xf0\x80\x80\x9b", "\\xf0\\x80\\x80\\x9b");
	LINE("\xed\xa0\x80", "\\xed\\xa0\\x80");	  /* surrogate */
	LINE("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
	LINE("\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80");
}

static void the_last_and_first_code_points_of_each_length_pass(void)
{
	LINE("\xdf\xbf\xe0\xa0\x80", "\xdf\xbf\xe0\xa0\x80");
	LINE("\xef\xbf\xbd\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
	     "\xef\xbf\xbd\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
	LINE("\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80");
}

/* NOLINTBEGIN(misc-misleading-bidirectional): the very thing that is tested */
static void bidirectional_controls_are_shown(void)
{
	LINE("a\xe2\x80\xae"
	     "b\xe2\x81\xa6"
	     "c\xd8\x9c",
	     "a\\u202eb\\u2066c\\u061c");
	LINE("\xe2\x80\x8e\xe2\x80\x8f\xe2\x80\xaa\xe2\x81\xa9", "\\u200e\\u200f\\u202a\\u2069");
	/* Their neighbours are not. */
	LINE("\xe2\x80\x8d\xe2\x80\x90", "\xe2\x80\x8d\xe2\x80\x90");
}
/* NOLINTEND(misc-misleading-bidirectional) */

static void nothing_dangerous_is_left_of_any_byte_pair(void)
{
	for (unsigned int first = 0; first < 256; first++) {
		for (unsigned int second = 0; second < 256; second++) {
			const uint8_t in[] = {(uint8_t)first, (uint8_t)second};
			auto_free char *safe = safe_text(in, sizeof(in), SAFE_TEXT_LINE);

			CHECK(strlen(safe) <= 6 * sizeof(in));
			for (const uint8_t *p = (const uint8_t *)safe; *p; p++)
				CHECK(*p >= 0x20 && *p != 0x7f);
			CHECK(strstr(safe, "\xc2\x9b") == NULL);
		}
	}
}

TEST_MAIN(TEST(plain_text_and_backslashes_pass), TEST(control_characters_are_escaped),
	  TEST(newline_and_tab_pass_only_where_asked_for),
	  TEST(c1_controls_are_escaped_in_both_encodings),
	  TEST(bytes_that_are_no_utf8_are_escaped_one_by_one),
	  TEST(the_last_and_first_code_points_of_each_length_pass),
	  TEST(bidirectional_controls_are_shown), TEST(nothing_dangerous_is_left_of_any_byte_pair))
