#pragma once
/* UTF-8, one character at a time (RFC 3629: no surrogates, no overlong forms). */
#include <stddef.h>
#include <stdint.h>

/* Bytes of the valid character at `at`, 0 when there is none before `end`. */
size_t utf8_length(const uint8_t *at, const uint8_t *end);

/* Writes a character (at most 4 bytes); what is none becomes U+FFFD. Returns how many. */
size_t utf8_encode(uint32_t character, uint8_t *out);

/* Takes 4 hexadecimal digits, UTF8_NO_HEX when they are not there. */
#define UTF8_NO_HEX UINT32_MAX
uint32_t utf8_hex4(const uint8_t *at, const uint8_t *end);
