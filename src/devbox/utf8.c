#include "devbox/utf8.h"

#define REPLACEMENT 0xfffdu

size_t utf8_length(const uint8_t *at, const uint8_t *end)
{
	static const struct {
		uint8_t mask, lead;
		uint32_t least;
	} forms[] = {
	    {0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

	if (at == end)
		return 0;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		uint32_t character = *at & (uint8_t)~forms[i].mask;

		if ((*at & forms[i].mask) != forms[i].lead)
			continue;
		if ((size_t)(end - at) <= i)
			return 0;
		for (size_t k = 1; k <= i; k++) {
			if ((at[k] & 0xc0) != 0x80)
				return 0;
			character = character << 6 | (at[k] & 0x3fu);
		}
		if (character < forms[i].least || character > 0x10ffff ||
		    (character >= 0xd800 && character < 0xe000))
			return 0;
		return i + 1;
	}
	return 0;
}

size_t utf8_encode(uint32_t character, uint8_t *out)
{
	if (character > 0x10ffff || (character >= 0xd800 && character < 0xe000))
		character = REPLACEMENT;
	if (character < 0x80) {
		out[0] = (uint8_t)character;
		return 1;
	}
	if (character < 0x800) {
		out[0] = (uint8_t)(0xc0 | character >> 6);
		out[1] = (uint8_t)(0x80 | (character & 0x3f));
		return 2;
	}
	if (character < 0x10000) {
		out[0] = (uint8_t)(0xe0 | character >> 12);
		out[1] = (uint8_t)(0x80 | (character >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (character & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | character >> 18);
	out[1] = (uint8_t)(0x80 | (character >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (character >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (character & 0x3f));
	return 4;
}

uint32_t utf8_hex4(const uint8_t *at, const uint8_t *end)
{
	uint32_t value = 0;

	if (end - at < 4)
		return UTF8_NO_HEX;
	for (int i = 0; i < 4; i++) {
		uint8_t c = at[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			value = value << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return UTF8_NO_HEX;
	}
	return value;
}
