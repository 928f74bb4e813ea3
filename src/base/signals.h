#pragma once
/*
 * Signal handlers for the time of something. A signal that is ignored stays so: whoever started us
 * under nohup, or in the background of a script, has said that it is not for us.
 */
#include <signal.h>
#include <stddef.h>

/* ret_before: what was there, for signals_restore. */
void signals_handle(const int *numbers, size_t count, const struct sigaction *action,
		    struct sigaction *ret_before);
void signals_restore(const int *numbers, size_t count, const struct sigaction *before);
