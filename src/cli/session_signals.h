#pragma once
/*
 * The signals that reach a client while a session is open, as bytes of a pipe; and what it does of
 * them to itself. One session at a time in a process, since handlers find only what is static.
 */
#include "base/err.h"

#include <stdbool.h>

/* SIGWINCH, SIGINT, SIGTERM, SIGQUIT and SIGHUP; with a terminal also SIGTSTP and SIGCONT, since
 * somebody else has it in between. Those that are ignored stay so. */
int session_signals_watch(bool tty, int *ret_read_end, struct err *err);
void session_signals_unwatch(int *read_end);

/* Stops as anybody would, without the terminal. Returns when continued, or at once where nobody could
 * continue us. */
void session_signals_stop(void);
/* Ends as if it had not been watched, with the terminal given back first. */
_Noreturn void session_signals_die(int signum);
