#pragma once
/*
 * Reads JSON as people write it into devbox.json: with comments (// and block) and commas after the
 * last element (what hujson calls standardizable). Makes a tree; every value knows the line and
 * column where it starts, counted in characters from 1, and members keep their order. Strings are
 * UTF-8 without NUL. Bounded: JSON_TEXT_MAX bytes, JSON_DEPTH_MAX levels, JSON_VALUES_MAX values.
 * Errors are ERR_INVALID and read "FILE:LINE:COLUMN: what is wrong".
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_TEXT_MAX	((size_t)4 << 20)
#define JSON_DEPTH_MAX	64
#define JSON_VALUES_MAX 200000

enum json_type {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
	JSON_TYPE_COUNT,
};

struct json {
	enum json_type type;
	char *name;	     /* of a member of an object, else NULL */
	char *text;	     /* of a string; a number as it is written */
	struct json **items; /* elements or members, in their order */
	size_t count;
	uint32_t line, column;
};

/* The tree is the caller's. `file` is only for messages. */
int json_parse(const char *file, const void *text, size_t length, struct json **ret_json,
	       struct err *err);
void json_free(struct json *json);

static inline void cleanup_json(struct json **json)
{
	json_free(*json);
}
#define auto_json CLEANUP(cleanup_json)

/* "a string", "an object": for messages. */
const char *json_type_name(enum json_type type);

/* The last member of that name, as Go's encoding/json takes the fields of a struct: letter case
 * does not matter. NULL if there is none, or it is null, or this is no object. */
const struct json *json_field(const struct json *object, const char *name);

/* The last member of exactly that name, NULL if there is none. */
const struct json *json_member(const struct json *object, const char *name);

/* An error about this value. */
#define json_error(json, file, err, format, ...)                                                   \
	err_set(err, ERR_INVALID, "%s:%u:%u: " format, file, (json)->line, (json)->column,         \
		__VA_ARGS__)
