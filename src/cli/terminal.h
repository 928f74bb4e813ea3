#pragma once
/*
 * The user's terminal, made raw for a session and given back on every way out: normal return, a
 * signal that ends us, a crash. Only kill -9 cannot be helped. One at a time in a process.
 */
#include "base/err.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>

/* Whether a session can have a terminal: both standard input and output are one. */
bool terminal_present(void);
int terminal_raw(struct err *err);
/* Safe to call any number of times, also when terminal_raw never was. */
void terminal_restore(void);
/* After a time in which the terminal was somebody else's, given back or not: raw again, with the modes
 * that were undone. */
void terminal_return(void);

/* Tells what was just written to the terminal, so that restoring undoes it (base/terminal_modes.h).
 */
void terminal_saw(const void *output, size_t length);

void terminal_size(struct message_window *ret_window);
