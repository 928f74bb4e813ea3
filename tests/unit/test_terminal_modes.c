#include "base/terminal_modes.h"
#include "unit/test.h"

static const char *undo_after(const char *output, size_t step)
{
	static char undo[TERMINAL_MODES_UNDO_MAX + 1];
	struct terminal_modes modes = {0};
	size_t length = strlen(output);

	for (size_t at = 0; at < length; at += step)
		terminal_modes_feed(&modes, output + at, length - at < step ? length - at : step);
	undo[terminal_modes_undo(&modes, undo)] = '\0';
	return undo;
}

static void a_session_that_changed_nothing_prints_nothing(void)
{
	CHECK_STR(undo_after("plain \033[31mred\033[0m text\n", 100), "");
	CHECK_STR(undo_after("\033[?25l\033[?25h", 100), "");
}

static void what_vim_turns_on_is_turned_off(void)
{
	const char *vim = "\033[?1049h\033[?1h\033=\033[?2004h\033[?25l";
	const char *undo = "\033[?1049l\033[?2004l\033[?1l\033[?25h\033>\033[0m\r\n";

	CHECK_STR(undo_after(vim, 100), undo);
	CHECK_STR(undo_after(vim, 1), undo);
	CHECK_STR(undo_after(vim, 3), undo);
}

static void another_terminal_is_brought_to_the_same_place(void)
{
	const char *vim = "\033[?1049h\033[?25l\033[?2026h\033=";
	char redo[TERMINAL_MODES_UNDO_MAX + 1];
	struct terminal_modes modes = {0};

	terminal_modes_feed(&modes, vim, strlen(vim));
	redo[terminal_modes_redo(&modes, redo)] = '\0';
	CHECK_STR(redo, "\033[?1049h\033[?25l\033=");
}

static void keys_are_what_they_were(void)
{
	CHECK_STR(undo_after("\033[>4;2m", 100), "\033[>4m\033[0m\r\n");
	CHECK_STR(undo_after("\033[>4;2m\033[>4;m", 1), "");
	CHECK_STR(undo_after("\033[>4;2m\033[>4m", 100), "");
	CHECK_STR(undo_after("\033[>4;2m\033[>1;2m\033[4m", 100), "\033[>4m\033[0m\r\n");
	CHECK_STR(undo_after("\033[>1;2m\033[4;2m\033[>4;2n", 100), "");
}

static void several_modes_in_one_sequence_count(void)
{
	CHECK_STR(undo_after("\033[?1000;1006h", 100), "\033[?1000l\033[?1006l\033[0m\r\n");
	CHECK_STR(undo_after("\033[?1000;1006h\033[?1000;1006l", 100), "");
}

static void a_full_reset_clears_all(void)
{
	CHECK_STR(undo_after("\033[?1049h\033c", 100), "");
}

static void junk_does_not_confuse_it(void)
{
	CHECK_STR(undo_after("\033[?99999999999999h\033[1049h\033[?1049$p\033\033[?2004h", 100),
		  "\033[?2004l\033[0m\r\n");
}

static void all_modes_at_once_fit(void)
{
	const char *undo =
	    undo_after("\033[?1049;1047;47;1000;1002;1003;1005;1006;1015;1004;2004;2026;1h"
		       "\033[?25;7l\033=",
		       100);

	CHECK(strlen(undo) < TERMINAL_MODES_UNDO_MAX);
	CHECK_STR(undo + strlen(undo) - 6, "\033[0m\r\n");
}

TEST_MAIN(TEST(a_session_that_changed_nothing_prints_nothing),
	  TEST(what_vim_turns_on_is_turned_off),
	  TEST(another_terminal_is_brought_to_the_same_place), TEST(keys_are_what_they_were),
	  TEST(several_modes_in_one_sequence_count), TEST(a_full_reset_clears_all),
	  TEST(junk_does_not_confuse_it), TEST(all_modes_at_once_fit))
