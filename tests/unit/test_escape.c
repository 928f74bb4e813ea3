#include "cli/escape.h"
#include "unit/test.h"

struct run {
	char sent[64];
	enum escape_action action;
	size_t used;
};

static struct run feed(struct escape *escape, const char *input)
{
	struct run run = {0};
	size_t length;

	run.action = escape_feed(escape, input, strlen(input), &run.used, run.sent, &length);
	run.sent[length] = '\0';
	return run;
}

static void tilde_dot_leaves_at_the_start_and_after_a_newline_only(void)
{
	struct escape escape;

	escape_init(&escape);
	CHECK_INT(feed(&escape, "~.").action, ESCAPE_LEAVE);
	escape_init(&escape);
	CHECK_INT(feed(&escape, "ls\r~.").action, ESCAPE_LEAVE);
	escape_init(&escape);
	struct run run = feed(&escape, "cd ~.");
	CHECK_INT(run.action, ESCAPE_NONE);
	CHECK_STR(run.sent, "cd ~.");
}

static void two_tildes_are_one_and_other_keys_go_through(void)
{
	struct escape escape;

	escape_init(&escape);
	CHECK_STR(feed(&escape, "~~.").sent, "~.");
	escape_init(&escape);
	CHECK_STR(feed(&escape, "~/bin\r").sent, "~/bin\r");
}

static void a_tilde_at_the_end_of_a_read_is_held_for_the_next(void)
{
	struct escape escape;

	escape_init(&escape);
	CHECK_STR(feed(&escape, "~").sent, "");
	CHECK_STR(feed(&escape, "x").sent, "~x");
	escape_init(&escape);
	CHECK_STR(feed(&escape, "\r~").sent, "\r");
	CHECK_INT(feed(&escape, ".").action, ESCAPE_LEAVE);
}

static void help_consumes_only_its_own_keys(void)
{
	struct escape escape;

	escape_init(&escape);
	struct run run = feed(&escape, "a\r~?b");
	CHECK_INT(run.action, ESCAPE_HELP);
	CHECK_STR(run.sent, "a\r");
	CHECK_INT(run.used, 4);
}

TEST_MAIN(TEST(tilde_dot_leaves_at_the_start_and_after_a_newline_only),
	  TEST(two_tildes_are_one_and_other_keys_go_through),
	  TEST(a_tilde_at_the_end_of_a_read_is_held_for_the_next),
	  TEST(help_consumes_only_its_own_keys))
