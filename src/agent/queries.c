#include "agent/queries.h"

#include <stdbool.h>

#define ESC 0x1b
#define BEL 0x07

/* The byte at a position; 0 behind the end, which no sequence has inside. */
static uint8_t at(const struct ring *ring, uint64_t position)
{
	const uint8_t *bytes;

	return position < ring->end && ring_peek(ring, position, &bytes) ? *bytes : 0;
}

/* Each takes the position behind the introducer, sets *ret_end behind the sequence, or to 0 if it
 * has no end yet, and says whether it is a question. */

static bool is_csi_question(const struct ring *ring, uint64_t p, uint64_t *ret_end)
{
	uint8_t private_ = 0;
	uint8_t between = 0;
	uint8_t c;

	for (; (c = at(ring, p)) >= 0x20 && c <= 0x3f; p++) {
		if (c <= 0x2f)
			between = c;
		else if (c >= 0x3c)
			private_ = c;
	}
	*ret_end = c == 0 ? 0 : c < 0x20 ? p : p + 1;
	switch (c) {
	case 'c':
	case 'n':
	case 't':
	case 'x':
		return between == 0;
	case 'p':
		return between == '$';
	case 'q':
		return private_ == '>';
	case 'u':
		return private_ == '?';
	default:
		return false;
	}
}

/* OSC and DCS: up to BEL or ESC \. */
static bool is_string_question(const struct ring *ring, uint64_t p, bool dcs, uint64_t *ret_end)
{
	bool question = dcs && (at(ring, p) == '+' || at(ring, p) == '$') && at(ring, p + 1) == 'q';
	uint8_t before = 0;
	uint8_t c;

	for (; (c = at(ring, p)) != 0 && c != BEL && c != ESC; p++) {
		question |= !dcs && before == ';' && c == '?';
		before = c;
	}
	*ret_end = c == 0 || (c == ESC && at(ring, p + 1) == 0) ? 0 : p + (c == BEL ? 1 : 2);
	return question;
}

static bool is_question(const struct ring *ring, uint64_t p, uint64_t *ret_end)
{
	*ret_end = p + 2;
	switch (at(ring, p + 1)) {
	case '[':
		return is_csi_question(ring, p + 2, ret_end);
	case ']':
		return is_string_question(ring, p + 2, false, ret_end);
	case 'P':
		return is_string_question(ring, p + 2, true, ret_end);
	case 'Z':
		return true;
	default:
		*ret_end = p + 1;
		return false;
	}
}

void queries_silence(struct ring *ring, uint64_t from)
{
	uint64_t end;

	for (uint64_t p = from; p < ring->end; p = end) {
		end = p + 1;
		if (at(ring, p) != ESC)
			continue;
		if (is_question(ring, p, &end) && end != 0)
			ring_overwrite(ring, p, end, 0);
		if (end == 0)
			end = p + 1;
	}
}
