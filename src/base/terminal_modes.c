#include "base/terminal_modes.h"

#include "base/cleanup.h"

#include <stdbool.h>
#include <string.h>

struct mode {
	uint16_t number; /* of CSI ? number h */
	bool rests_set;	 /* how it is when nobody changed it */
};

/* In the order of undoing: the alternate screen first, so that the rest happens on the main one. */
static const struct mode table[] = {
    {1049, false}, {1047, false}, {47, false},	 {1000, false}, {1002, false},
    {1003, false}, {1005, false}, {1006, false}, {1015, false}, {1004, false},
    {2004, false}, {2026, false}, {1, false},	 {25, true},	{7, true},
};
#define SYNCHRONIZED 2026	       /* the terminal shows nothing until it is off */
#define KEYPAD	     ARRAY_SIZE(table) /* ESC = and ESC > : a bit of its own */
_Static_assert(KEYPAD < 32, "one bit a mode");

#define MODIFY_OTHER_KEYS 4

enum {
	GROUND,
	AFTER_ESC,
	IN_CSI,
};

static void name_mode(struct terminal_modes *modes)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].number == modes->number)
			modes->pending |= 1u << i;
	modes->number = 0;
}

static void apply(struct terminal_modes *modes, bool on)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (!(modes->pending & 1u << i))
			continue;
		if (on != table[i].rests_set)
			modes->set |= 1u << i;
		else
			modes->set &= ~(1u << i);
	}
}

static void set_bit(struct terminal_modes *modes, size_t bit, bool on)
{
	modes->set = on ? modes->set | 1u << bit : modes->set & ~(1u << bit);
}

/* CSI > 4 ; LEVEL m; without a level, and CSI > m, for none. */
static void set_keys(struct terminal_modes *modes)
{
	if (modes->of_keys)
		modes->keys = modes->number > 9 ? 9 : (uint8_t)modes->number;
	else if (modes->number == MODIFY_OTHER_KEYS || modes->number == 0)
		modes->keys = 0;
}

static void in_csi(struct terminal_modes *modes, uint8_t c)
{
	if (c == '?' || c == '>') {
		modes->prefix = c;
	} else if (c >= '0' && c <= '9') {
		modes->number =
		    (uint16_t)(modes->number > 6000 ? 6000 : modes->number * 10 + (c - '0'));
	} else if (c == ';') {
		modes->of_keys = modes->prefix == '>' && modes->number == MODIFY_OTHER_KEYS;
		name_mode(modes);
	} else if (c >= 0x40 && c <= 0x7e) { /* the final byte */
		if (modes->prefix == '>' && c == 'm')
			set_keys(modes);
		name_mode(modes);
		if (modes->prefix == '?' && (c == 'h' || c == 'l'))
			apply(modes, c == 'h');
		modes->state = GROUND;
	}
}

static void after_esc(struct terminal_modes *modes, uint8_t c)
{
	modes->state = GROUND;
	if (c == '[') {
		modes->state = IN_CSI;
		modes->prefix = 0;
		modes->of_keys = false;
		modes->number = 0;
		modes->pending = 0;
	} else if (c == '=') {
		set_bit(modes, KEYPAD, true);
	} else if (c == '>') {
		set_bit(modes, KEYPAD, false);
	} else if (c == 'c') { /* full reset */
		modes->set = 0;
		modes->keys = 0;
	}
}

void terminal_modes_feed(struct terminal_modes *modes, const void *bytes, size_t length)
{
	const uint8_t *p = bytes;
	const uint8_t *end = p + length;

	while (p < end) {
		if (modes->state == GROUND) {
			p = memchr(p, '\033', (size_t)(end - p));
			if (!p)
				return;
			modes->state = AFTER_ESC;
		} else if (*p == '\033') {
			modes->state = AFTER_ESC;
		} else if (modes->state == AFTER_ESC) {
			after_esc(modes, *p);
		} else {
			in_csi(modes, *p);
		}
		p++;
	}
}

/* Appends without stdio: this also runs in a signal handler. */
static size_t append(char *out, size_t used, const char *text)
{
	while (*text && used < TERMINAL_MODES_UNDO_MAX)
		out[used++] = *text++;
	return used;
}

static size_t append_number(char *out, size_t used, unsigned number)
{
	char digits[8];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do
		digits[--at] = (char)('0' + number % 10);
	while ((number /= 10) > 0 && at > 0);
	return append(out, used, digits + at);
}

/* To rest, or away from it. */
static size_t append_mode(char *out, size_t used, const struct mode *mode, bool to_rest)
{
	used = append(out, used, "\033[?");
	used = append_number(out, used, mode->number);
	return append(out, used, mode->rests_set == to_rest ? "h" : "l");
}

size_t terminal_modes_redo(const struct terminal_modes *modes, char out[TERMINAL_MODES_UNDO_MAX])
{
	size_t used = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if ((modes->set & 1u << i) && table[i].number != SYNCHRONIZED)
			used = append_mode(out, used, &table[i], false);
	if (modes->set & 1u << KEYPAD)
		used = append(out, used, "\033=");
	if (modes->keys) {
		used = append(out, used, "\033[>4;");
		used = append_number(out, used, modes->keys);
		used = append(out, used, "m");
	}
	return used;
}

size_t terminal_modes_undo(const struct terminal_modes *modes, char out[TERMINAL_MODES_UNDO_MAX])
{
	size_t used = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (modes->set & 1u << i)
			used = append_mode(out, used, &table[i], true);
	if (modes->set & 1u << KEYPAD)
		used = append(out, used, "\033>");
	if (modes->keys)
		used = append(out, used, "\033[>4m");
	if (used)
		used = append(out, used, "\033[0m\r\n");
	return used;
}
