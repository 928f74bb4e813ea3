#pragma once
/*
 * One line of QEMU's machine protocol, parsed: what it is, and the members of its objects. Length
 * and nesting are bounded before the JSON library sees it. Pure.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QMP_LINE_MAX ((size_t)65536)

struct qmp_data; /* an object out of a line; lives as long as that */

/* A member by name, or "" / `otherwise` when it is not there or of another type. A dotted name goes
 * into members: "ram.transferred". */
const char *qmp_string(const struct qmp_data *data, const char *name);
int64_t qmp_integer(const struct qmp_data *data, const char *name, int64_t otherwise);
bool qmp_bool(const struct qmp_data *data, const char *name);

enum qmp_kind {
	QMP_GREETING,
	QMP_RETURN,
	QMP_ERROR,
	QMP_EVENT,
	QMP_KIND_COUNT,
};

struct qmp_line {
	enum qmp_kind kind;
	int64_t id;	       /* of the command; 0 if none */
	const char *name;      /* of the event; the description of the error */
	struct qmp_data *data; /* owns everything above */
};

int qmp_line_parse(const char *text, size_t length, struct qmp_line *ret_line, struct err *err);
void qmp_line_done(struct qmp_line *line);

/* An object inside an object; NULL when it is none. */
const struct qmp_data *qmp_member(const struct qmp_data *data, const char *name);
/* Whether a text is a JSON object. */
bool qmp_is_object(const char *text);
