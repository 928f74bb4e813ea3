#pragma once
/*
 * The escape of an interactive session, as ssh has it: after a newline (or at the start) "~."
 * leaves,
 * "~?" asks for help, "~~" is one tilde; anything else goes through as typed. Pure: bytes in, bytes
 * and an action out.
 */
#include <stdbool.h>
#include <stddef.h>

enum escape_action {
	ESCAPE_NONE,
	ESCAPE_LEAVE,
	ESCAPE_HELP,
};

struct escape {
	bool at_line_start;
	bool tilde_held;
};

void escape_init(struct escape *escape);

/* Takes input from bytes until its end or an action. *ret_used: how much was taken; out gets what
 * is to be sent, *ret_length of it, at most length + 1 bytes. */
enum escape_action escape_feed(struct escape *escape, const char *bytes, size_t length,
			       size_t *ret_used, char *out, size_t *ret_length);
