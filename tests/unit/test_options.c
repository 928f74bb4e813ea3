#include "cli/command.h"
#include "cli/options.h"
#include "unit/test.h"

#include <stdint.h>

static const struct option table[] = {
    {.name = "datadir", .argument = "DIR", .summary = "x"},
    {.name = "config", .letter = 'c', .argument = "PATH", .summary = "x"},
    {.name = "install", .summary = "x"},
    {0},
};
static const struct option *const tables[] = {table, NULL};

/* argv is not written to; main() just has it that way. */
static int parse(struct options *options, const char *const *argv, int *index, struct err *err)
{
	bool ended;

	*options = (struct options){0};
	*index = 0;
	return options_parse(options, tables, (char *const *)(uintptr_t)argv, index, &ended, err);
}

static void every_spelling_of_a_value_is_the_same(void)
{
	const char *const spellings[][4] = {
	    {"-datadir", "/d", NULL},
	    {"--datadir", "/d", NULL},
	    {"-datadir=/d", NULL},
	    {"--datadir=/d", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(spellings); i++) {
		struct options options;
		struct err err = ERR_INIT;
		int index;

		CHECK_INT(parse(&options, spellings[i], &index, &err), 0);
		CHECK_STR(options_value(&options, "datadir"), "/d");
		CHECK(spellings[i][index] == NULL);
	}
}

static void a_letter_works_and_the_last_value_wins(void)
{
	const char *const argv[] = {"-c", "a", "-c=b", NULL};
	struct options options;
	struct err err = ERR_INIT;
	int index;

	CHECK_INT(parse(&options, argv, &index, &err), 0);
	CHECK_STR(options_value(&options, "config"), "b");
}

static void flags_take_true_and_false_only(void)
{
	const char *const yes[] = {"-install", NULL};
	const char *const no[] = {"--install=false", NULL};
	const char *const maybe[] = {"--install=maybe", NULL};
	struct options options;
	struct err err = ERR_INIT;
	int index;

	CHECK_INT(parse(&options, yes, &index, &err), 0);
	CHECK(options_flag(&options, "install"));
	CHECK_INT(parse(&options, no, &index, &err), 0);
	CHECK(!options_flag(&options, "install"));
	CHECK_INT(parse(&options, maybe, &index, &err), -1);
	CHECK_STR(err.text, "--install takes no value but true or false");
}

static void parsing_stops_at_the_first_word_and_after_two_dashes(void)
{
	const char *const word[] = {"-install", "exec", "-c", "x", NULL};
	const char *const dashes[] = {"--", "-install", NULL};
	const char *const lone_dash[] = {"-", NULL};
	struct options options;
	struct err err = ERR_INIT;
	int index;

	CHECK_INT(parse(&options, word, &index, &err), 0);
	CHECK_INT(index, 1);
	CHECK_INT(parse(&options, dashes, &index, &err), 0);
	CHECK_INT(index, 1);
	CHECK(!options_flag(&options, "install"));
	CHECK_INT(parse(&options, lone_dash, &index, &err), 0);
	CHECK_INT(index, 0);
}

static void mistakes_are_named(void)
{
	const char *const unknown[] = {"--nope", NULL};
	const char *const missing[] = {"-c", NULL};
	struct options options;
	struct err err = ERR_INIT;
	int index;

	CHECK_INT(parse(&options, unknown, &index, &err), -1);
	CHECK_STR(err.text, "unknown option --nope");
	CHECK_INT(err_exit_status(&err), 2);
	CHECK_INT(parse(&options, missing, &index, &err), -1);
	CHECK_STR(err.text, "-c needs a value: PATH");
}

static void too_many_options_are_an_error_not_an_overflow(void)
{
	const char *argv[OPTIONS_MAX + 2] = {0};
	struct options options;
	struct err err = ERR_INIT;
	int index;

	for (int i = 0; i <= OPTIONS_MAX; i++)
		argv[i] = "-install";
	CHECK_INT(parse(&options, argv, &index, &err), -1);
}

static void the_command_table_is_alphabetical_and_complete(void)
{
	for (const struct command *const *c = commands; *c; c++) {
		CHECK((*c)->run && (*c)->summary && (*c)->arguments);
		CHECK(command_find((*c)->name) == *c);
		if (c[1])
			CHECK(strcmp((*c)->name, c[1]->name) < 0);
	}
}

static void a_typing_error_gets_a_suggestion_and_nonsense_does_not(void)
{
	CHECK(command_suggest("stauts") == &cmd_status);
	CHECK(command_suggest("stpo") == &cmd_stop);
	CHECK(command_suggest("frobnicate") == NULL);
	CHECK(command_suggest(
		  "an-extremely-long-word-that-is-longer-than-any-row-of-the-table-is") == NULL);
}

TEST_MAIN(TEST(every_spelling_of_a_value_is_the_same), TEST(a_letter_works_and_the_last_value_wins),
	  TEST(flags_take_true_and_false_only),
	  TEST(parsing_stops_at_the_first_word_and_after_two_dashes), TEST(mistakes_are_named),
	  TEST(too_many_options_are_an_error_not_an_overflow),
	  TEST(the_command_table_is_alphabetical_and_complete),
	  TEST(a_typing_error_gets_a_suggestion_and_nonsense_does_not))
