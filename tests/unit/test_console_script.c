/* The console of an installer, on which many write at once. */
#include "guest/console_script.h"
#include "test.h"

#define LOGIN  "\r\nnixos login: nixos (automatic login)\r\n\r\n\033[?2004h"
#define PROMPT "\033[1;32m[nixos@nixos:~]$\033[0m "

struct talk {
	struct console_script script;
	uint64_t now;
};

static struct talk begin(void)
{
	struct talk talk = {.now = 1000};

	console_script_init(&talk.script, "RUN\n", talk.now);
	return talk;
}

static void hear(struct talk *talk, const char *text)
{
	console_script_feed(&talk->script, text, strlen(text), talk->now);
}

/* What is typed within so much time; "" if nothing. */
static const char *typed(struct talk *talk, uint64_t ms)
{
	uint64_t end = talk->now + ms;
	uint64_t wait;
	const char *text = NULL;

	while (!text && talk->now < end) {
		talk->now += 500;
		text = console_script_next(&talk->script, talk->now, &wait);
	}
	return text ? text : "";
}

static bool asks(struct talk *talk, uint64_t ms)
{
	return strstr(typed(talk, ms), "echo ") != NULL;
}

static void answer(struct talk *talk)
{
	hear(talk, "echo DXVM-SHELL-$((6*7))\r\nDXVM-SHELL-42\r\n" PROMPT);
}

static struct talk begin_running(void)
{
	struct talk talk = begin();

	hear(&talk, LOGIN PROMPT);
	CHECK(asks(&talk, 3000));
	answer(&talk);
	CHECK_STR(typed(&talk, 3000), "RUN\n");
	return talk;
}

static void a_command_is_typed_once_a_shell_has_answered(void)
{
	struct talk talk = begin_running();

	CHECK_INT(talk.script.phase, CONSOLE_RUNNING);
	CHECK_STR(typed(&talk, 100000), "");
}

static void an_echo_is_no_answer(void)
{
	struct talk talk = begin();

	hear(&talk, LOGIN);
	CHECK(asks(&talk, 3000));
	hear(&talk, "echo DXVM-SHELL-$((6*7))\r\nLogin incorrect\r\n");
	CHECK_INT(talk.script.phase, CONSOLE_ASKING);
	CHECK(asks(&talk, 15000)); /* again */
	answer(&talk);
	CHECK_STR(typed(&talk, 3000), "RUN\n");
}

static void nothing_is_typed_while_others_write(void)
{
	struct talk talk = begin();

	hear(&talk, LOGIN);
	for (int i = 0; i < 20; i++) {
		hear(&talk, "[  OK  ] Started something.\r\n");
		CHECK_STR(typed(&talk, 500), "");
	}
	CHECK(asks(&talk, 3000));
}

static void a_prompt_may_come_byte_by_byte(void)
{
	struct talk talk = begin();
	char byte[2] = "";

	for (const char *c = LOGIN PROMPT; *c; c++) {
		byte[0] = *c;
		hear(&talk, byte);
	}
	CHECK(asks(&talk, 3000));
}

static void a_login_torn_apart_by_the_kernel_is_found_by_its_prompt(void)
{
	struct talk talk = begin();

	hear(&talk, "nixos login: nixos (auto[   12.3] systemd[1]: Started x.\r\nmatic login)\r\n");
	hear(&talk, "[nix[   12.4] audit: type=1\r\nos@nixos:~]$ ");
	CHECK(asks(&talk, 3000));
}

static void with_no_sign_at_all_it_asks_after_a_long_silence(void)
{
	struct talk talk = begin();

	hear(&talk, "garbled");
	CHECK_STR(typed(&talk, 29000), "");
	CHECK(asks(&talk, 5000));
}

static void steps_and_status_are_heard(void)
{
	struct talk talk = begin_running();

	hear(&talk, "RUN; printf '\\nDXVM-STATUS=%s\\n' $s\r\n");
	hear(&talk, "\r\nDXVM-STEP disk\r\nmkfs...\r\n\r\nDXVM-");
	CHECK_STR(talk.script.step, "disk");
	hear(&talk, "STEP system\r\n");
	CHECK_STR(talk.script.step, "system");
	CHECK_INT(talk.script.steps, 2);
	CHECK_INT(talk.script.phase, CONSOLE_RUNNING);
	hear(&talk, "[   99.1] x DXVM-STATUS=3\r\n");
	CHECK_INT(talk.script.phase, CONSOLE_ENDED);
	CHECK_INT(talk.script.status, 3);
}

static void a_status_that_was_torn_apart_comes_again(void)
{
	struct talk talk = begin_running();

	hear(&talk, "DXVM-STAT[   99.1] x\r\nUS=0\r\nDXVM-STATUS=0[ 9.1] y\r\n");
	CHECK_INT(talk.script.phase, CONSOLE_RUNNING);
	hear(&talk, "DXVM-STATUS=0\r\n");
	CHECK_INT(talk.script.phase, CONSOLE_ENDED);
	CHECK_INT(talk.script.status, 0);
}

static void the_last_lines_before_the_end_are_kept(void)
{
	struct talk talk = begin_running();
	char line[400];

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	for (int i = 0; i < 100; i++) {
		hear(&talk, line);
		hear(&talk, "\r\n");
	}
	hear(&talk, "error: no space\r\nDXVM-STATUS=1\r\n[ OK ] Stopped y\r\n");
	CHECK_STR(console_script_line(&talk.script, CONSOLE_SCRIPT_LINES - 2), "error: no space");
	CHECK(console_script_line(&talk.script, CONSOLE_SCRIPT_LINES) == NULL);
}

TEST_MAIN(TEST(a_command_is_typed_once_a_shell_has_answered), TEST(an_echo_is_no_answer),
	  TEST(nothing_is_typed_while_others_write), TEST(a_prompt_may_come_byte_by_byte),
	  TEST(a_login_torn_apart_by_the_kernel_is_found_by_its_prompt),
	  TEST(with_no_sign_at_all_it_asks_after_a_long_silence), TEST(steps_and_status_are_heard),
	  TEST(a_status_that_was_torn_apart_comes_again),
	  TEST(the_last_lines_before_the_end_are_kept))
