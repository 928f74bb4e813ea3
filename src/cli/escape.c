#include "cli/escape.h"

void escape_init(struct escape *escape)
{
	*escape = (struct escape){.at_line_start = true};
}

enum escape_action escape_feed(struct escape *escape, const char *bytes, size_t length,
			       size_t *ret_used, char *out, size_t *ret_length)
{
	size_t sent = 0;

	for (size_t i = 0; i < length; i++) {
		char c = bytes[i];

		if (escape->tilde_held) {
			escape->tilde_held = false;
			if (c == '.' || c == '?') {
				*ret_used = i + 1;
				*ret_length = sent;
				return c == '.' ? ESCAPE_LEAVE : ESCAPE_HELP;
			}
			out[sent++] = '~';
			if (c == '~') {
				escape->at_line_start = false;
				continue;
			}
		} else if (c == '~' && escape->at_line_start) {
			escape->tilde_held = true;
			continue;
		}
		out[sent++] = c;
		escape->at_line_start = c == '\r' || c == '\n';
	}
	*ret_used = length;
	*ret_length = sent;
	return ESCAPE_NONE;
}
