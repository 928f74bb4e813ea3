#pragma once
/*
 * What dxvm-image says to the program that started it: one line on standard output per event,
 *
 *	stage TEXT              a new step begins
 *	progress DONE TOTAL     of the current step, in a unit of its own
 *	bytes DONE TOTAL        of the current step, in bytes; TOTAL 0: unknown
 *	note TEXT               worth knowing, not a step
 *	error TEXT              why it ends with status 1; the last line
 *	done                    the last line of a success
 *
 * Text is one line with control characters escaped. Lines go out at once.
 */
#include "base/cleanup.h"

#include <stdint.h>

void progress_stage(const char *format, ...) PRINTF_LIKE(1, 2);
void progress_note(const char *format, ...) PRINTF_LIKE(1, 2);
/* At most ten lines a second, and always the first and the last (done == total). */
void progress_count(uint64_t done, uint64_t total);
void progress_bytes(uint64_t done, uint64_t total);
void progress_error(const char *text);
void progress_done(void);
