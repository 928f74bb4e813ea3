/*
 * A struct qmp_data is a json_t under another name: jansson stays in this file.
 */
#include "vm/qmp_line.h"

#include "base/mem.h"
#include "base/safe_text.h"

#include <jansson.h>
#include <string.h>

#define DEPTH_MAX 32 /* QEMU's answers nest less than ten deep */
#define NAME_MAX_ ((size_t)64)

static const json_t *as_json(const struct qmp_data *data)
{
	return (const json_t *)(const void *)data;
}

/* Before the parser recurses into it. Braces in strings do not count. */
static bool is_too_deep(const char *text, size_t length)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < length; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > DEPTH_MAX)
				return true;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return false;
}

static int classify(const json_t *root, struct qmp_line *line, struct err *err)
{
	const json_t *member;

	line->id = json_integer_value(json_object_get(root, "id"));
	line->name = "";
	if (json_is_object(json_object_get(root, "QMP"))) {
		line->kind = QMP_GREETING;
	} else if (json_object_get(root, "return")) {
		line->kind = QMP_RETURN;
	} else if (json_is_object(member = json_object_get(root, "error"))) {
		line->kind = QMP_ERROR;
		line->name = json_string_value(json_object_get(member, "desc"));
	} else if (json_is_string(member = json_object_get(root, "event"))) {
		line->kind = QMP_EVENT;
		line->name = json_string_value(member);
	} else {
		return err_set(err, ERR_PROTOCOL, "QEMU sent an object that is no QMP message");
	}
	if (!line->name)
		line->name = "no description";
	return 0;
}

int qmp_line_parse(const char *text, size_t length, struct qmp_line *ret_line, struct err *err)
{
	struct qmp_line line = {.kind = QMP_GREETING};
	json_error_t why;
	json_t *root;

	if (length > QMP_LINE_MAX || is_too_deep(text, length))
		return err_set(err, ERR_PROTOCOL, "QEMU sent a QMP message that nests too deep");
	root = json_loadb(text, length, 0, &why);
	if (!json_is_object(root)) {
		json_decref(root);
		return err_set(err, ERR_PROTOCOL, "QEMU sent a line that is no JSON object");
	}
	if (classify(root, &line, err) < 0) {
		json_decref(root);
		return -1;
	}
	line.data = (struct qmp_data *)(void *)root;
	*ret_line = line;
	return 0;
}

void qmp_line_done(struct qmp_line *line)
{
	json_decref((json_t *)(void *)take_ptr(&line->data));
}

/* -- data -- */

static const json_t *find(const struct qmp_data *data, const char *name)
{
	const json_t *at = as_json(data);
	const char *dot;

	while (at && (dot = strchr(name, '.'))) {
		char part[NAME_MAX_];
		size_t length = (size_t)(dot - name);

		if (length >= sizeof(part))
			return NULL;
		memcpy(part, name, length);
		part[length] = '\0';
		at = json_object_get(at, part);
		name = dot + 1;
	}
	return at ? json_object_get(at, name) : NULL;
}

const char *qmp_string(const struct qmp_data *data, const char *name)
{
	const char *value = json_string_value(find(data, name));

	return value ? value : "";
}

int64_t qmp_integer(const struct qmp_data *data, const char *name, int64_t otherwise)
{
	const json_t *value = find(data, name);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool qmp_bool(const struct qmp_data *data, const char *name)
{
	return json_is_true(find(data, name));
}

const struct qmp_data *qmp_member(const struct qmp_data *data, const char *name)
{
	return (const struct qmp_data *)(const void *)json_object_get(as_json(data), name);
}

bool qmp_is_object(const char *text)
{
	json_t *object = json_loads(text, 0, NULL);
	bool good = json_is_object(object);

	json_decref(object);
	return good;
}
