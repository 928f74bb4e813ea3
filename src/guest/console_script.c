/*
 * Theory of operation. That getty logged the user in shows in one of several texts, or in a prompt;
 * each alone may be torn apart by what others write. So a sign only says when to ask, a silence of
 * a second says that the moment is good, and what proves a shell is the answer to a sum: a terminal
 * that merely echoes what is typed does not know it. Where no sign is seen at all, we ask anyway
 * once nothing has happened for a long time; a question that goes unanswered is asked again.
 *
 * Escape sequences are taken out first, for colours and cursor movements stand in the middle of
 * words. Lines end at \n and \r, and what is looked for may stand anywhere in a line, behind what
 * another wrote. The echo of our own command holds no number where its output has one.
 */
#include "guest/console_script.h"

#include "base/cleanup.h"
#include "base/number.h"

#include <string.h>

#define QUIET_MS     1000  /* somebody who was writing is done */
#define NO_SIGN_MS   30000 /* without a sign of a login: ask anyway */
#define ASK_AGAIN_MS 10000
#define STATUS_MAX   255
#define QUESTION     "echo DXVM-SHELL-$((6*7))\n"
#define ANSWER	     "DXVM-SHELL-42"

static const char *const signs[] = {
    "(automatic login)",
    "automatic login",
    "nixos@nixos",
};

/* States of the filter for escape sequences (ECMA-48). */
enum escape {
	ESCAPE_NONE,
	ESCAPE_STARTED,	   /* ESC */
	ESCAPE_PARAMETERS, /* ESC [ : until a byte from @ to ~ */
	ESCAPE_STRING,	   /* ESC ] P X ^ _ : until BEL or ESC \ */
	ESCAPE_STRING_END, /* ESC within a string */
};

void console_script_init(struct console_script *script, const char *command, uint64_t now_ms)
{
	*script =
	    (struct console_script){.command = command, .heard_ms = now_ms, .typed_ms = now_ms};
}

/* Whether the byte is part of an escape sequence. */
static bool skip_escape(struct console_script *script, unsigned char c)
{
	switch ((enum escape)script->escape) {
	case ESCAPE_NONE:
		script->escape = c == 0x1b ? ESCAPE_STARTED : ESCAPE_NONE;
		return c == 0x1b;
	case ESCAPE_STARTED:
		if (c == '[')
			script->escape = ESCAPE_PARAMETERS;
		else if (c != '\0' && strchr("]PX^_", c))
			script->escape = ESCAPE_STRING;
		else if (c < 0x20 || c > 0x2f) /* but for intermediates it is the last */
			script->escape = ESCAPE_NONE;
		return true;
	case ESCAPE_PARAMETERS:
		/* A new line inside: it was cut short. */
		if (c < 0x20 || (c >= 0x40 && c <= 0x7e))
			script->escape = ESCAPE_NONE;
		return c >= 0x20;
	case ESCAPE_STRING:
		if (c == 0x1b)
			script->escape = ESCAPE_STRING_END;
		else if (c < 0x20)
			script->escape = ESCAPE_NONE;
		return c >= 0x20 || c == 0x1b || c == '\a';
	case ESCAPE_STRING_END:
		script->escape = ESCAPE_NONE;
		return true;
	}
	return false;
}

static const char *after(const char *line, const char *mark)
{
	const char *at = strstr(line, mark);

	return at ? at + strlen(mark) : NULL;
}

static void look_for_step(struct console_script *script, const char *line)
{
	const char *name = after(line, CONSOLE_SCRIPT_STEP);
	size_t length = name ? strspn(name, "abcdefghijklmnopqrstuvwxyz-") : 0;

	if (length == 0 || length >= sizeof(script->step) || name[length] != '\0')
		return;
	memcpy(script->step, name, length);
	script->step[length] = '\0';
	script->steps++;
}

static void look_for_status(struct console_script *script, const char *line)
{
	const char *number = after(line, CONSOLE_SCRIPT_STATUS);
	uint64_t status;

	if (!number || !number_take(&number, 10, STATUS_MAX, &status) || *number != '\0')
		return;
	script->status = (int)status;
	script->phase = CONSOLE_ENDED;
}

/* What stands on a line, whole or not yet. */
static void look_at(struct console_script *script, const char *line)
{
	if (script->phase == CONSOLE_BOOTING || script->phase == CONSOLE_ASKING) {
		for (size_t i = 0; i < ARRAY_SIZE(signs) && !script->logged_in; i++)
			script->logged_in = strstr(line, signs[i]) != NULL;
		if (script->phase == CONSOLE_ASKING && strstr(line, ANSWER))
			script->phase = CONSOLE_RUNNING;
	} else if (script->phase == CONSOLE_RUNNING) {
		look_for_step(script, line);
		look_for_status(script, line);
	}
}

/* Of a line without end the last part is kept: a prompt may stand there. */
static void put(struct console_script *script, char c)
{
	size_t half = sizeof(script->line) / 2;

	if (script->line_length == sizeof(script->line) - 1) {
		script->line_length -= half;
		memmove(script->line, script->line + half, script->line_length);
	}
	script->line[script->line_length++] = c;
}

static void end_line(struct console_script *script)
{
	char *kept = script->lines[script->line_count % CONSOLE_SCRIPT_LINES];

	if (script->line_length == 0)
		return;
	if (script->phase == CONSOLE_ENDED) { /* what matters was said before */
		script->line_length = 0;
		return;
	}
	memcpy(kept, script->line, script->line_length);
	kept[script->line_length] = '\0';
	script->line_length = 0;
	script->line_count++;
	look_at(script, kept);
}

void console_script_feed(struct console_script *script, const void *bytes, size_t length,
			 uint64_t now_ms)
{
	const unsigned char *text = bytes;

	for (size_t i = 0; i < length; i++) {
		unsigned char c = text[i];

		if (skip_escape(script, c))
			continue;
		if (c == '\n' || c == '\r')
			end_line(script);
		else if (c >= 0x20)
			put(script, (char)c);
	}
	if (length > 0)
		script->heard_ms = now_ms;
}

/* A shell's prompt is the end of a line that has no end. */
static bool is_at_prompt(const struct console_script *script)
{
	size_t n = script->line_length;

	return n >= 2 && script->line[n - 1] == ' ' &&
	       (script->line[n - 2] == '$' || script->line[n - 2] == '#');
}

static bool is_time_to_ask(struct console_script *script, uint64_t quiet, uint64_t since_typed)
{
	if (script->phase == CONSOLE_BOOTING && is_at_prompt(script))
		script->logged_in = true;
	if (quiet < QUIET_MS || (script->asked > 0 && since_typed < ASK_AGAIN_MS))
		return false;
	return script->logged_in || quiet >= NO_SIGN_MS;
}

const char *console_script_next(struct console_script *script, uint64_t now_ms,
				uint64_t *ret_wait_ms)
{
	uint64_t quiet = now_ms > script->heard_ms ? now_ms - script->heard_ms : 0;
	uint64_t since_typed = now_ms > script->typed_ms ? now_ms - script->typed_ms : 0;
	const char *text = NULL;

	*ret_wait_ms = QUIET_MS;
	/* A sign, like a prompt, need not be a whole line. */
	if (script->phase == CONSOLE_BOOTING) {
		script->line[script->line_length] = '\0';
		look_at(script, script->line);
	}
	if (script->phase == CONSOLE_BOOTING || script->phase == CONSOLE_ASKING) {
		if (!is_time_to_ask(script, quiet, since_typed))
			return NULL;
		script->phase = CONSOLE_ASKING;
		script->asked++;
		text = QUESTION;
	} else if (script->phase == CONSOLE_RUNNING && script->command) {
		/* Once, and not before the answer's prompt is there. */
		if (quiet < QUIET_MS && !is_at_prompt(script))
			return NULL;
		text = script->command;
		script->command = NULL;
	}
	if (text)
		script->typed_ms = now_ms;
	return text;
}

const char *console_script_line(const struct console_script *script, size_t i)
{
	size_t kept =
	    script->line_count < CONSOLE_SCRIPT_LINES ? script->line_count : CONSOLE_SCRIPT_LINES;

	return i < kept ? script->lines[(script->line_count - kept + i) % CONSOLE_SCRIPT_LINES]
			: NULL;
}
