#pragma once
/*
 * What an installer is told on its serial console, and how its answers are understood: a function
 * of bytes and time, without I/O. Its console belongs to many: getty, the shell, the kernel and
 * systemd write there as they like, so any text may arrive in pieces or with another's line in its
 * middle. Everything is bounded; the guest's text is kept as it came and must be escaped to be
 * shown.
 *
 *	BOOTING    until somebody is logged in
 *	ASKING     a sum was typed; its answer proves that a shell reads us
 *	RUNNING    the command was typed; it names its steps
 *	ENDED      it said with which status it ended
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the command prints, each on a line of its own. The number may come more than once. */
#define CONSOLE_SCRIPT_STEP   "DXVM-STEP "
#define CONSOLE_SCRIPT_STATUS "DXVM-STATUS="

#define CONSOLE_SCRIPT_LINE  200 /* bytes of a line that are kept */
#define CONSOLE_SCRIPT_LINES 12	 /* lines that are kept */
#define CONSOLE_SCRIPT_WORD  32

enum console_phase {
	CONSOLE_BOOTING,
	CONSOLE_ASKING,
	CONSOLE_RUNNING,
	CONSOLE_ENDED,
};

struct console_script {
	enum console_phase phase;
	const char *command;		/* lent */
	char step[CONSOLE_SCRIPT_WORD]; /* the last that was named; "" */
	unsigned steps;			/* how many were named */
	int status;			/* once ENDED */
	uint64_t heard_ms;		/* when the last byte came */
	uint64_t typed_ms;		/* when we typed last */
	unsigned asked;			/* how many times */
	bool logged_in;			/* there was a sign of it */
	int escape;			/* where in an escape sequence we are */
	char line[CONSOLE_SCRIPT_LINE];
	size_t line_length;
	char lines[CONSOLE_SCRIPT_LINES][CONSOLE_SCRIPT_LINE]; /* a ring; each ends in NUL */
	size_t line_count;				       /* that ever were */
};

void console_script_init(struct console_script *script, const char *command, uint64_t now_ms);

void console_script_feed(struct console_script *script, const void *bytes, size_t length,
			 uint64_t now_ms);

/* What is to be typed now; NULL: nothing, look again in *ret_wait_ms or after the next bytes. */
const char *console_script_next(struct console_script *script, uint64_t now_ms,
				uint64_t *ret_wait_ms);

/* The last lines with something on them, oldest first: the i-th of them, or NULL. */
const char *console_script_line(const struct console_script *script, size_t i);
