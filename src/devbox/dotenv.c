#include "devbox/dotenv.h"

#include "base/mem.h"
#include "devbox/utf8.h"

#include <stdint.h>
#include <string.h>

#define SPACE " \t\v\f\r"
#define START "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
#define REST  START "0123456789./"

struct line {
	const char *file;
	size_t number;
	const char *start; /* of the line, for columns */
	const char *at;
	const char *end;
	struct err *err;
};

static int fail(const struct line *line, const char *where, const char *what)
{
	size_t column = 1;

	for (const char *c = line->start; c < where; c++)
		column += ((unsigned char)*c & 0xc0) != 0x80;
	return err_set(line->err, ERR_INVALID, "%s:%zu:%zu: %s", line->file, line->number, column,
		       what);
}

static const char *skip_space(const char *at, const char *end)
{
	while (at < end && strchr(SPACE, *at))
		at++;
	return at;
}

static const char *trim_end(const char *start, const char *end)
{
	while (end > start && strchr(SPACE, end[-1]))
		end--;
	return end;
}

/* The escape at `at`, behind its backslash, inside double quotes. */
static int read_escape(struct line *line, char *out, size_t *used)
{
	static const char names[] = "\"\\/bfrnt";
	static const char values[] = "\"\\/\b\f\r\n\t";
	const uint8_t *end = (const uint8_t *)line->end;
	const char *name = line->at < line->end ? strchr(names, *line->at) : NULL;
	uint32_t character;

	if (name) {
		out[(*used)++] = values[name - names];
		line->at++;
		return 0;
	}
	if (line->at == line->end || *line->at != 'u')
		return fail(line, line->at - 1,
			    "a backslash in double quotes is followed by one of \"\\/bfnrtu");
	character = utf8_hex4((const uint8_t *)line->at + 1, end);
	if (character == UTF8_NO_HEX || character == 0)
		return fail(line, line->at - 1,
			    "\\u wants four hexadecimal digits, and no NUL character");
	line->at += 5;
	if (character >= 0xd800 && character < 0xe000) {
		uint32_t low =
		    line->end - line->at >= 6 && line->at[0] == '\\' && line->at[1] == 'u'
			? utf8_hex4((const uint8_t *)line->at + 2, end)
			: UTF8_NO_HEX;

		if (low == UTF8_NO_HEX)
			return fail(line, line->at, "the second half of a \\u pair is missing");
		line->at += 6;
		if (character < 0xdc00 && low >= 0xdc00 && low < 0xe000)
			character = 0x10000 + ((character - 0xd800) << 10) + (low - 0xdc00);
	}
	*used += utf8_encode(character, (uint8_t *)out + *used);
	return 0;
}

/* The value at `at`, up to the end of the line. What is written is never longer than what is read.
 */
static int read_value(struct line *line, char *out)
{
	size_t used = 0;
	size_t kept = 0; /* space before a comment, outside quotes, is not */
	char quote = '\0';
	const char *opened = line->at;

	while (line->at < line->end) {
		const char c = *line->at++;

		if ((unsigned char)c < 0x20)
			return fail(line, line->at - 1, "a control character");
		if (quote == '\0' && (c == '"' || c == '\'')) {
			quote = c;
			opened = line->at - 1;
			continue;
		}
		if (quote != '\0' && c == quote) {
			quote = '\0';
			continue;
		}
		if (quote == '\0' && c == '#') {
			out[kept] = '\0';
			return 0;
		}
		if (quote == '"' && c == '\\') {
			if (read_escape(line, out, &used) < 0)
				return -1;
		} else {
			out[used++] = c;
		}
		if (quote != '\0' || c != ' ')
			kept = used;
	}
	out[used] = '\0';
	return quote == '\0' ? 0 : fail(line, opened, "this quote has no end");
}

static int read_line(struct line *line, struct vars *vars)
{
	const char *equals;
	const char *name;
	const char *name_end;

	line->at = skip_space(line->at, line->end);
	line->end = trim_end(line->at, line->end);
	if (line->at == line->end || *line->at == '#')
		return 0;
	equals = memchr(line->at, '=', (size_t)(line->end - line->at));
	if (!equals)
		return fail(line, line->at, "this line has no '='");
	name = line->at;
	name_end = trim_end(name, equals);
	if (name_end - name > 7 && strncmp(name, "export ", 7) == 0)
		name += 7;
	if (name == name_end)
		return fail(line, name, "there is no name before the '='");
	if (!strchr(START, *name))
		return fail(line, name, "a name starts with a letter or '_'");
	for (const char *c = name; c < name_end; c++)
		if (!strchr(REST, *c))
			return fail(line, c, "a name has letters, digits, '_', '.' and '/' only");
	auto_free char *key = xstrndup(name, (size_t)(name_end - name));
	auto_free char *value = xmalloc((size_t)(line->end - equals) + 1);
	line->at = skip_space(equals + 1, line->end);
	if (read_value(line, value) < 0)
		return -1;
	vars_set(vars, key, value);
	return 0;
}

int dotenv_parse(const char *file, const char *text, struct vars *vars, struct err *err)
{
	struct line line = {.file = file, .err = err};

	while (*text) {
		size_t length = strcspn(text, "\n");

		line.number++;
		line.start = line.at = text;
		line.end = text + length;
		if (read_line(&line, vars) < 0)
			return -1;
		text += length;
		text += *text == '\n';
	}
	return 0;
}
