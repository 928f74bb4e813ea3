/* The parts of dxvm-devbox as functions: places in a file, rules of Go's library, what shells read.
 */
#include "base/mem.h"
#include "devbox/config.h"
#include "devbox/expand.h"
#include "devbox/json.h"
#include "devbox/lock.h"
#include "devbox/options.h"
#include "devbox/pathlist.h"
#include "devbox/quote.h"
#include "devbox/shell.h"
#include "unit/test.h"

static void a_value_knows_its_line_and_column_in_characters(void)
{
	static const char text[] = "{ // c\n  \"\xc3\xa9\": [1,\t\"x\", /* \n */ null,],\n}";
	auto_json struct json *json = NULL;
	struct err err = ERR_INIT;

	CHECK_INT(json_parse("f", text, strlen(text), &json, &err), 0);
	CHECK_INT(json->count, 1);
	const struct json *list = json->items[0];
	CHECK_INT(list->line, 2);
	CHECK_INT(list->column, 8);
	CHECK_INT(list->count, 3);
	CHECK_INT(list->items[1]->column, 12);
	CHECK_STR(list->items[1]->text, "x");
	CHECK_INT(list->items[2]->line, 3);
	CHECK_INT(list->items[2]->column, 5);
}

static void json_that_is_wrong_is_refused_with_its_place(void)
{
	static const struct {
		const char *text;
		const char *error;
	} cases[] = {
	    {"", "f:1:1: expected a value, found the end of the file"},
	    {"\xef\xbb\xbf{}",
	     "f:1:1: expected a value, found a byte order mark; save the file without one"},
	    {"\xef", "f:1:1: expected a value, found byte 0xef"},
	    {"{\"a\" 1}", "f:1:6: expected ':' after the name, found '1'"},
	    {"{a: 1}", "f:1:2: expected a name in double quotes, found 'a'"},
	    {"[1 2]", "f:1:4: expected ',' or ']', found '2'"},
	    {"[,]", "f:1:2: expected a value, found ','"},
	    {"[1,,]", "f:1:4: expected a value, found ','"},
	    {"[01]", "f:1:3: expected ',' or ']', found '1'"},
	    {"[1.]", "f:1:4: expected a digit, found ']'"},
	    {"[-]", "f:1:3: expected a digit, found ']'"},
	    {"[+1]", "f:1:2: expected a value, found '+'"},
	    {"nulll", "f:1:5: expected nothing more, found 'l'"},
	    {"\"a\nb\"", "f:1:3: a string ends on its line; write \\n for a new one"},
	    {"\"\\u00g0\"", "f:1:2: \\u wants four hexadecimal digits, and no NUL character"},
	    {"\"\\u0000\"", "f:1:2: \\u wants four hexadecimal digits, and no NUL character"},
	    {"\"\xff\"", "f:1:2: this is not UTF-8"},
	    {"\"\xed\xa0\x80\"", "f:1:2: this is not UTF-8"},
	    {"[1] /", "f:1:5: expected nothing more, found '/'"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct json *json = NULL;
		struct err err = ERR_INIT;

		CHECK_INT(json_parse("f", cases[i].text, strlen(cases[i].text), &json, &err), -1);
		CHECK_STR(err.text, cases[i].error);
		CHECK_INT(err.code, ERR_INVALID);
		json_free(json);
	}
}

static void strings_are_decoded(void)
{
	static const char text[] = "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\\ud83dx\"";
	auto_json struct json *json = NULL;
	struct err err = ERR_INIT;

	CHECK_INT(json_parse("f", text, strlen(text), &json, &err), 0);
	CHECK_STR(json->text, "\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbdx");
}

static void variables_expand_as_in_go(void)
{
	static const char *const cases[][2] = {
	    {"$A ${A} $AB", "va va "}, {"$PWD/bin", "/p/bin"}, {"${}x${", "x"},
	    {"$$ $1 ${?} $-", "   "},  {"$.$ $", "$.$ $"},     {"${A-b}|${ A}", "|"},
	    {"${open", "open"},	       {"$A$A", "vava"},       {"\\$A", "\\va"},
	};
	auto_vars struct vars vars = {.count = 0};

	vars_set(&vars, "A", "va");
	vars_set(&vars, "PWD", "/elsewhere");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *text = NULL;
		struct err err = ERR_INIT;

		CHECK_INT(expand(cases[i][0], &vars, "/p", &text, &err), 0);
		CHECK_STR(text, cases[i][1]);
	}
}

static void a_value_that_grows_without_bound_is_an_error(void)
{
	auto_vars struct vars vars = {.count = 0};
	auto_free char *large = xmalloc(EXPAND_MAX);
	char *text = NULL;
	struct err err = ERR_INIT;

	memset(large, 'x', EXPAND_MAX - 1);
	large[EXPAND_MAX - 1] = '\0';
	vars_set(&vars, "A", large);
	CHECK_INT(expand("$A", &vars, "/p", &text, &err), 0);
	free(text);
	CHECK_INT(expand("$A$A", &vars, "/p", &text, &err), -1);
	CHECK_INT(err.code, ERR_INVALID);
}

static void paths_are_cleaned_as_in_go(void)
{
	static const char *const cases[][2] = {
	    {"", "."},
	    {".", "."},
	    {"/", "/"},
	    {"//a//", "/a"},
	    {"/../a", "/a"},
	    {"a/../..", ".."},
	    {"../../a/..", "../.."},
	    {"/a/./b/..", "/a"},
	    {"./a", "a"},
	    {"/a/..", "/"},
	    {"...", "..."},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *clean = pathlist_clean(cases[i][0]);

		CHECK_STR(clean, cases[i][1]);
	}
	auto_free char *joined = pathlist_join("/a/:b::/a", "/c:./d:/a/../e");
	CHECK_STR(joined, "/a:/c:/e");
}

static void a_second_project_goes_on_top_of_the_stack(void)
{
	auto_vars struct vars vars = {.count = 0};
	auto_vars struct vars original = {.count = 0};

	vars_set(&original, "PATH", "/bin");
	pathlist_push(&vars, &original, "KEY_1", "/one:/bin");
	CHECK_STR(vars_get(&vars, "PATH"), "/one:/bin");
	vars_set(&original, "DEVBOX_PATH_STACK", "KEY_1:DEVBOX_INIT_PATH");
	pathlist_push(&vars, &original, "KEY_2", "/two:/one");
	CHECK_STR(vars_get(&vars, "DEVBOX_PATH_STACK"), "KEY_2:KEY_1:DEVBOX_INIT_PATH");
	CHECK_STR(vars_get(&vars, "PATH"), "/two:/one:/bin");
	pathlist_push(&vars, &vars, "KEY_1", "/new");
	CHECK_STR(vars_get(&vars, "DEVBOX_PATH_STACK"), "KEY_1:KEY_2:DEVBOX_INIT_PATH");
	CHECK(pathlist_has(&vars, "KEY_2") && !pathlist_has(&vars, "KEY_3"));
	CHECK(!pathlist_has(&original, "KEY"));
}

static void only_store_paths_are_store_paths(void)
{
#define HASH "0123456789abcdfghijklmnpqrsvwxyz"
	static const char *const bad[] = {
	    "",
	    "/nix/store/",
	    "/nix/store/" HASH,
	    "/nix/store/" HASH "-",
	    "/nix/store/short-x",
	    "/nix/store/" HASH "-a/b",
	    "/nix/store/" HASH "-a b",
	    "/nix/store/" HASH "-a\nb",
	    "nix/store/" HASH "-a",
	    "--option",
	};

	CHECK(lock_is_store_path("/nix/store/" HASH "-hello-2.12.1+b_c?=."));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(!lock_is_store_path(bad[i]));
}

static void the_start_up_file_goes_in_devboxs_order(void)
{
	static const char json[] = "{\"aliases\": {\"b\": \"it's\", \"a\": \"x\"}}";
	static const char *const order[] = {"first",
					    ". '/home/it'\\''s/.bashrc'",
					    "export A=\"\\$x\\\"\";",
					    "HISTFILE='/p/.devbox/shell_history'",
					    "PS1=\"(devbox) $PS1\"",
					    "cd '/p'",
					    ". '/p/.devbox/gen/scripts/.hooks.sh'",
					    "cd \"$working_dir\"",
					    "alias a='x'",
					    "alias b='it'\\''s'",
					    "alias refresh="};
	struct project project = {.root = (char[]){"/p"}, .refresh = (char[]){"R"}};
	auto_vars struct vars vars = {.count = 0};
	struct err err = ERR_INIT;

	CHECK_INT(config_parse("f", json, strlen(json), &project.config, &err), 0);
	vars_set(&vars, "A", "$x\"");
	vars_set(&vars, "not-a-name", "x");
	auto_free char *rc = shell_rc(&project, &vars, SHELL_BASH, "/home/it's/.bashrc", "first\n");
	const char *at = rc;
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		const char *found = strstr(at, order[i]);

		if (!found)
			printf("# not there, or too early: %s\n", order[i]);
		CHECK(found != NULL);
		at = found ? found : at;
	}
	CHECK(!strstr(rc, "not-a-name"));
	config_done(&project.config);
}

static void shells_are_known_by_their_names(void)
{
	CHECK_INT(shell_kind("/bin/bash"), SHELL_BASH);
	CHECK_INT(shell_kind("/nix/store/x/bin/zsh"), SHELL_ZSH);
	CHECK_INT(shell_kind("/bin/sh"), SHELL_POSIX);
	CHECK_INT(shell_kind("/usr/bin/nu"), SHELL_OTHER);
}

static void options_end_where_the_command_begins(void)
{
	char *argv[] = {(char[]){"x"},	    (char[]){"enter"},
			(char[]){"run"},    (char[]){"--env=A=b=c"},
			(char[]){"-e"},	    (char[]){"B="},
			(char[]){"--"},	    (char[]){"-l"},
			(char[]){"--pure"}, NULL};
	struct options options;
	struct err err = ERR_INIT;

	CHECK_INT(options_parse(&options, argv, &err), 0);
	CHECK(options.enter && options.verb == VERB_RUN && !options.pure && !options.list);
	CHECK_INT(options.given_count, 2);
	CHECK_STR(options.given[0], "A=b=c");
	CHECK_STR(options.given[1], "B=");
	CHECK_STR(options.words[0], "-l");
	CHECK_STR(options.words[1], "--pure");
	CHECK_STR(options.devbox_words[0], "run");
}

static void options_that_cannot_be_understood_are_refused(void)
{
	static const char *const bad[][2] = {{"what", NULL},	{"shell", "--what"},
					     {"shell", "word"}, {"run", "--env"},
					     {"run", "-x"},	{NULL, NULL}};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_free char *first = bad[i][0] ? xstrdup(bad[i][0]) : NULL;
		auto_free char *second = bad[i][1] ? xstrdup(bad[i][1]) : NULL;
		char *argv[] = {(char[]){"x"}, first, second, NULL};
		struct options options;
		struct err err = ERR_INIT;

		CHECK_INT(options_parse(&options, argv, &err), -1);
		CHECK_INT(err.code, ERR_USAGE);
	}
}

TEST_MAIN(TEST(a_value_knows_its_line_and_column_in_characters),
	  TEST(json_that_is_wrong_is_refused_with_its_place), TEST(strings_are_decoded),
	  TEST(variables_expand_as_in_go), TEST(a_value_that_grows_without_bound_is_an_error),
	  TEST(paths_are_cleaned_as_in_go), TEST(a_second_project_goes_on_top_of_the_stack),
	  TEST(only_store_paths_are_store_paths), TEST(the_start_up_file_goes_in_devboxs_order),
	  TEST(shells_are_known_by_their_names), TEST(options_end_where_the_command_begins),
	  TEST(options_that_cannot_be_understood_are_refused))
