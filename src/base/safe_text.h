#pragma once
/*
 * Text from a guest, a server or a file, made safe to print on a terminal or into a log: control
 * characters (C0 but for what `keep` allows, DEL, C1) and bytes that are not valid UTF-8 become
 * \xNN or \u00NN; a backslash stays as it is. Everything dxvm prints outside a session that it did
 * not write itself goes through here.
 */
#include <stddef.h>

enum safe_text_keep {
	SAFE_TEXT_LINE = 0,	/* one line: newline and tab are escaped as \n and \t */
	SAFE_TEXT_NEWLINES = 1, /* newline and tab pass */
};

/* A new string, the caller's. At most 6 times as long as the input. */
char *safe_text(const void *text, size_t length, enum safe_text_keep keep);
