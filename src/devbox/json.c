/*
 * Theory of operation. Recursive descent, as deep as JSON_DEPTH_MAX. Positions are found by walking
 * a mark forward over the text as values start, so that a long line costs no more than a short one:
 * errors are made at or behind the mark, never before it.
 */
#include "devbox/json.h"

#include "base/mem.h"
#include "devbox/utf8.h"

#include <string.h>
#include <strings.h>

struct parser {
	const char *file;
	const uint8_t *at;
	const uint8_t *end;
	const uint8_t *mark; /* line and column are its position */
	uint32_t line, column;
	unsigned depth;
	size_t values;
	struct err *err;
};

static struct json *parse_value(struct parser *p);

/* Moves the mark. A byte of the middle of a character is no column of its own. */
static void move_mark(struct parser *p, const uint8_t *to)
{
	for (; p->mark < to; p->mark++) {
		if (*p->mark == '\n') {
			p->line++;
			p->column = 1;
		} else if ((*p->mark & 0xc0) != 0x80) {
			p->column++;
		}
	}
}

#define fail_at(p, where, ...)                                                                     \
	do {                                                                                       \
		auto_free char *text_ = xasprintf(__VA_ARGS__);                                    \
		move_mark(p, where);                                                               \
		(void)err_set((p)->err, ERR_INVALID, "%s:%u:%u: %s", (p)->file, (p)->line,         \
			      (p)->column, text_);                                                 \
	} while (0)

/* What stands at `at`, for a message. */
static char *found(const struct parser *p)
{
	if (p->at == p->end)
		return xstrdup("the end of the file");
	if (*p->at > 0x20 && *p->at < 0x7f)
		return xasprintf("'%c'", *p->at);
	if (p->end - p->at >= 3 && memcmp(p->at, "\xef\xbb\xbf", 3) == 0)
		return xstrdup("a byte order mark; save the file without one");
	return xasprintf("byte 0x%02x", *p->at);
}

static void fail_wanted(struct parser *p, const char *wanted)
{
	auto_free char *is = found(p);

	fail_at(p, p->at, "expected %s, found %s", wanted, is);
}

/* A comment at `at`: 1 passed over, 0 there is none, -1 it has no end. */
static int skip_comment(struct parser *p)
{
	const uint8_t *start = p->at;
	const uint8_t *close;

	if (p->end - p->at < 2 || p->at[0] != '/' || (p->at[1] != '/' && p->at[1] != '*'))
		return 0;
	if (p->at[1] == '/') {
		close = memchr(p->at, '\n', (size_t)(p->end - p->at));
		p->at = close ? close : p->end;
		return 1;
	}
	close = memmem(start + 2, (size_t)(p->end - start - 2), "*/", 2);
	if (!close) {
		fail_at(p, start, "this comment has no end");
		return -1;
	}
	p->at = close + 2;
	return 1;
}

static int skip_space(struct parser *p)
{
	for (;;) {
		int comment;

		while (p->at < p->end &&
		       (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r'))
			p->at++;
		comment = skip_comment(p);
		if (comment <= 0)
			return comment;
	}
}

/* \uXXXX at `at` (behind the u), with the second half of a pair. Returns bytes written, 0: bad. */
static size_t parse_unicode(struct parser *p, uint8_t *out)
{
	uint32_t character = utf8_hex4(p->at, p->end);
	uint32_t low;

	if (character == UTF8_NO_HEX || character == 0)
		return 0;
	p->at += 4;
	if (character >= 0xd800 && character < 0xdc00 && p->end - p->at >= 6 && p->at[0] == '\\' &&
	    p->at[1] == 'u') {
		low = utf8_hex4(p->at + 2, p->end);
		if (low != UTF8_NO_HEX && low >= 0xdc00 && low < 0xe000) {
			p->at += 6;
			character = 0x10000 + ((character - 0xd800) << 10) + (low - 0xdc00);
		}
	}
	return utf8_encode(character, out);
}

/* The escape at `at`, which is its backslash. Returns bytes written to `out`, 0: an error. */
static size_t parse_escape(struct parser *p, uint8_t *out)
{
	static const char names[] = "\"\\/bfnrt";
	static const char values[] = "\"\\/\b\f\n\r\t";
	const uint8_t *start = p->at++;
	const char *name = p->at < p->end && *p->at ? strchr(names, *p->at) : NULL;
	size_t length;

	if (name) {
		p->at++;
		*out = (uint8_t)values[name - names];
		return 1;
	}
	if (p->at < p->end && *p->at == 'u') {
		p->at++;
		length = parse_unicode(p, out);
		if (length == 0)
			fail_at(p, start,
				"\\u wants four hexadecimal digits, and no NUL character");
		return length;
	}
	fail_at(p, start, "a backslash in a string is followed by one of \"\\/bfnrtu");
	return 0;
}

/* Bytes from the quote at `at` to the one that closes the string, or to what ends it wrongly. */
static size_t string_extent(const struct parser *p)
{
	const uint8_t *c = p->at + 1;

	while (c < p->end && *c != '"' && *c != '\n')
		c += *c == '\\' && p->end - c > 1 ? 2 : 1;
	return (size_t)(c - p->at);
}

/* A string at `at`, which is its quote. NULL: an error. */
static char *parse_string(struct parser *p)
{
	const uint8_t *start = p->at;
	auto_free char *text = NULL;
	size_t used = 0;

	/* What is decoded is never longer than what is written. */
	text = xmalloc(string_extent(p) + 1);
	for (p->at++; p->at < p->end && *p->at != '"';) {
		size_t length = 0;

		if (*p->at == '\\') {
			length = parse_escape(p, (uint8_t *)text + used);
			if (length == 0)
				return NULL;
			used += length;
			continue;
		}
		if (*p->at < 0x20) {
			fail_at(p, p->at, "a string ends on its line; write \\n for a new one");
			return NULL;
		}
		length = utf8_length(p->at, p->end);
		if (length == 0) {
			fail_at(p, p->at, "this is not UTF-8");
			return NULL;
		}
		memcpy(text + used, p->at, length);
		p->at += length;
		used += length;
	}
	if (p->at == p->end) {
		fail_at(p, start, "this string has no end");
		return NULL;
	}
	p->at++;
	text[used] = '\0';
	return xrealloc(take_ptr(&text), used + 1);
}

static bool skip_digits(struct parser *p)
{
	const uint8_t *start = p->at;

	while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
		p->at++;
	return p->at > start;
}

static bool skip_one_of(struct parser *p, const char *set)
{
	if (p->at == p->end || *p->at == '\0' || !strchr(set, *p->at))
		return false;
	p->at++;
	return true;
}

static char *parse_number(struct parser *p)
{
	const uint8_t *start = p->at;
	bool good;

	(void)skip_one_of(p, "-");
	good = skip_one_of(p, "0") || skip_digits(p);
	if (good && skip_one_of(p, "."))
		good = skip_digits(p);
	if (good && skip_one_of(p, "eE")) {
		(void)skip_one_of(p, "+-");
		good = skip_digits(p);
	}
	if (good)
		return xstrndup((const char *)start, (size_t)(p->at - start));
	fail_wanted(p, "a digit");
	return NULL;
}

static bool parse_word(struct parser *p, const char *word)
{
	size_t length = strlen(word);

	if ((size_t)(p->end - p->at) < length || memcmp(p->at, word, length) != 0)
		return false;
	p->at += length;
	return true;
}

static void add_item(struct json *json, struct json *item)
{
	/* Room doubles at the powers of two. */
	if ((json->count & (json->count - 1)) == 0)
		json->items = xrealloc(json->items,
				       (json->count ? json->count * 2 : 1) * sizeof(struct json *));
	json->items[json->count++] = item;
}

static int parse_member(struct parser *p, struct json *json)
{
	auto_free char *name = NULL;
	struct json *item;

	if (p->at == p->end || *p->at != '"') {
		fail_wanted(p, "a name in double quotes");
		return -1;
	}
	name = parse_string(p);
	if (!name || skip_space(p) < 0)
		return -1;
	if (p->at == p->end || *p->at != ':') {
		fail_wanted(p, "':' after the name");
		return -1;
	}
	p->at++;
	item = parse_value(p);
	if (!item)
		return -1;
	item->name = take_ptr(&name);
	add_item(json, item);
	return 0;
}

static int parse_element(struct parser *p, struct json *json)
{
	struct json *item = parse_value(p);

	if (!item)
		return -1;
	add_item(json, item);
	return 0;
}

/* What is between the brackets; `at` is behind the first one. */
static int parse_items(struct parser *p, struct json *json)
{
	const uint8_t close = json->type == JSON_OBJECT ? '}' : ']';
	const char *wanted = json->type == JSON_OBJECT ? "',' or '}'" : "',' or ']'";

	if (++p->depth > JSON_DEPTH_MAX) {
		fail_at(p, p->at, "nested deeper than %d levels", JSON_DEPTH_MAX);
		return -1;
	}
	if (skip_space(p) < 0)
		return -1;
	while (p->at == p->end || *p->at != close) {
		if ((json->type == JSON_OBJECT ? parse_member(p, json) : parse_element(p, json)) <
			0 ||
		    skip_space(p) < 0)
			return -1;
		if (p->at < p->end && *p->at == ',') {
			p->at++;
			if (skip_space(p) < 0)
				return -1;
		} else if (p->at == p->end || *p->at != close) {
			fail_wanted(p, wanted);
			return -1;
		}
	}
	p->at++;
	p->depth--;
	return 0;
}

static int parse_content(struct parser *p, struct json *json)
{
	const uint8_t first = p->at < p->end ? *p->at : '\0';

	if (first == '{' || first == '[') {
		json->type = first == '{' ? JSON_OBJECT : JSON_ARRAY;
		p->at++;
		return parse_items(p, json);
	}
	if (first == '"') {
		json->type = JSON_STRING;
		json->text = parse_string(p);
		return json->text ? 0 : -1;
	}
	if (first == '-' || (first >= '0' && first <= '9')) {
		json->type = JSON_NUMBER;
		json->text = parse_number(p);
		return json->text ? 0 : -1;
	}
	if (parse_word(p, "null"))
		json->type = JSON_NULL;
	else if (parse_word(p, "true"))
		json->type = JSON_TRUE;
	else if (parse_word(p, "false"))
		json->type = JSON_FALSE;
	else
		fail_wanted(p, "a value");
	return p->err->code == ERR_NONE ? 0 : -1;
}

static struct json *parse_value(struct parser *p)
{
	auto_json struct json *json = NULL;

	if (skip_space(p) < 0)
		return NULL;
	if (++p->values > JSON_VALUES_MAX) {
		fail_at(p, p->at, "more than %d values", JSON_VALUES_MAX);
		return NULL;
	}
	move_mark(p, p->at);
	json = xcalloc(1, sizeof(*json));
	json->line = p->line;
	json->column = p->column;
	return parse_content(p, json) < 0 ? NULL : take_ptr(&json);
}

int json_parse(const char *file, const void *text, size_t length, struct json **ret_json,
	       struct err *err)
{
	struct parser p = {
	    .file = file,
	    .at = text,
	    .end = (const uint8_t *)text + length,
	    .mark = text,
	    .line = 1,
	    .column = 1,
	    .err = err,
	};
	auto_json struct json *json = NULL;

	if (length > JSON_TEXT_MAX)
		return err_set(err, ERR_INVALID, "%s: more than %zu bytes", file, JSON_TEXT_MAX);
	json = parse_value(&p);
	if (!json || skip_space(&p) < 0)
		return -1;
	if (p.at < p.end) {
		fail_wanted(&p, "nothing more");
		return -1;
	}
	*ret_json = take_ptr(&json);
	return 0;
}

void json_free(struct json *json)
{
	if (!json)
		return;
	for (size_t i = 0; i < json->count; i++)
		json_free(json->items[i]);
	free(json->items);
	free(json->name);
	free(json->text);
	free(json);
}

const char *json_type_name(enum json_type type)
{
	static const char *const names[] = {
	    [JSON_NULL] = "null",	 [JSON_FALSE] = "false",     [JSON_TRUE] = "true",
	    [JSON_NUMBER] = "a number",	 [JSON_STRING] = "a string", [JSON_ARRAY] = "a list",
	    [JSON_OBJECT] = "an object",
	};
	_Static_assert(ARRAY_SIZE(names) == JSON_TYPE_COUNT, "a name for each type");

	return names[type];
}

const struct json *json_field(const struct json *object, const char *name)
{
	if (!object || object->type != JSON_OBJECT)
		return NULL;
	for (size_t i = object->count; i > 0; i--)
		if (strcasecmp(object->items[i - 1]->name, name) == 0 &&
		    object->items[i - 1]->type != JSON_NULL)
			return object->items[i - 1];
	return NULL;
}

const struct json *json_member(const struct json *object, const char *name)
{
	if (!object || object->type != JSON_OBJECT)
		return NULL;
	for (size_t i = object->count; i > 0; i--)
		if (strcmp(object->items[i - 1]->name, name) == 0)
			return object->items[i - 1];
	return NULL;
}
