#include "base/safe_text.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Length of the valid UTF-8 sequence at p (RFC 3629: no overlong forms, no surrogates, at most
 * U+10FFFF), 0 if there is none. *ret_code is the code point. */
static size_t utf8_sequence(const uint8_t *p, size_t n, uint32_t *ret_code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = p[0] < 0x80	    ? 1
			: (p[0] >> 5) == 6  ? 2
			: (p[0] >> 4) == 14 ? 3
			: (p[0] >> 3) == 30 ? 4
					    : 0;
	uint32_t code;

	if (length == 0 || length > n)
		return 0;
	if (length == 1) {
		*ret_code = p[0];
		return 1;
	}
	code = p[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3fu);
	}
	if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return length;
}

/* Bidirectional controls (Unicode TR 36, and "Trojan Source") reorder what a person reads. */
static bool reorders_text(uint32_t code)
{
	return code == 0x61c || code == 0x200e || code == 0x200f ||
	       (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

static void escape(struct buf *out, uint32_t code)
{
	if (code == '\n')
		(void)buf_append_string(out, "\\n");
	else if (code == '\t')
		(void)buf_append_string(out, "\\t");
	else if (code == '\r')
		(void)buf_append_string(out, "\\r");
	else if (code < 0x80)
		(void)buf_printf(out, "\\x%02x", code);
	else
		(void)buf_printf(out, "\\u%04x", code);
}

char *safe_text(const void *text, size_t length, enum safe_text_keep keep)
{
	const uint8_t *p = text;
	auto_buf struct buf out;

	buf_init(&out, length * 6 + 1);
	while (length > 0) {
		uint32_t code = 0;
		size_t n = utf8_sequence(p, length, &code);
		bool kept = keep == SAFE_TEXT_NEWLINES && (code == '\n' || code == '\t');

		if (n == 0) {
			(void)buf_printf(&out, "\\x%02x", *p);
			n = 1;
		} else if ((!kept && code < 0x20) || (code >= 0x7f && code < 0xa0) ||
			   reorders_text(code)) {
			escape(&out, code);
		} else {
			(void)buf_append(&out, p, n);
		}
		p += n;
		length -= n;
	}
	return buf_take_string(&out);
}
