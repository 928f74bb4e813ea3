#pragma once
/*
 * Numbers in text that somebody else wrote: digits alone, no sign, no white space, never past a
 * maximum. (scanf and strtoul take signs, skip space, and wrap or saturate.)
 */
#include <stdbool.h>
#include <stdint.h>

/* Takes a number in base 10 or 16 off the front of *text, which is moved behind it. False, and
 * nothing is changed, when there is none or it is larger than max. */
bool number_take(const char **text, unsigned base, uint64_t max, uint64_t *ret_value);

/* Takes this literal off the front. */
bool number_skip(const char **text, const char *literal);
