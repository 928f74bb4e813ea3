#pragma once
/* What people are told while their environment is made: a line each on standard error, "dxvm: "
 * in front, control characters of file contents escaped. */
#include "base/buf.h"

void say(const char *format, ...) PRINTF_LIKE(1, 2);

/* The same for later: the line is added to the notes, which the caller says or keeps. */
#define SAY_NOTES_MAX ((size_t)1 << 20)
void say_later(struct buf *notes, const char *format, ...) PRINTF_LIKE(2, 3);
void say_notes(const struct buf *notes);
