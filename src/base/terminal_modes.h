#pragma once
/*
 * Follows what a session's output does to the terminal's modes (alternate screen, mouse reports,
 * bracketed paste, cursor, keypad, colours), so that a session that ends in the middle of a
 * full-screen program leaves the terminal as it was, and one that changed nothing prints nothing;
 * and so that one that is shown on another terminal finds it as it needs it. Pure.
 *
 * Sequences: ECMA-48 CSI "? Pm h/l" (DEC private modes, as xterm's ctlseqs lists them), ESC = and
 * >, and CSI "> 4 ; Pv m" (modifyOtherKeys: Ctrl-C is another sequence then).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TERMINAL_MODES_UNDO_MAX 256

struct terminal_modes {
	uint32_t set; /* bit i: mode i of the table differs from its rest position */
	uint8_t state;
	uint8_t prefix; /* '?', '>' or none */
	bool of_keys;	/* its first number is that of modifyOtherKeys */
	uint8_t keys;	/* the level of that, a digit; 0: none */
	uint16_t number;
	uint32_t pending; /* modes named in the sequence being read */
};

void terminal_modes_feed(struct terminal_modes *modes, const void *bytes, size_t length);

/* Writes what brings every changed mode to rest into out; its length, 0 if there is nothing. */
size_t terminal_modes_undo(const struct terminal_modes *modes, char out[TERMINAL_MODES_UNDO_MAX]);
/* The same for what brings a terminal at rest to where this one is. */
size_t terminal_modes_redo(const struct terminal_modes *modes, char out[TERMINAL_MODES_UNDO_MAX]);
