#include "devbox/lock.h"

#include "base/file.h"
#include "base/mem.h"

#include <fcntl.h>
#include <string.h>

#define STORE	    "/nix/store/"
#define HASH_LENGTH 32
#define NAME_MOST   211 /* as nix has it */

bool lock_is_store_path(const char *path)
{
	static const char hash[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	static const char name[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ+-._?=";

	if (strncmp(path, STORE, strlen(STORE)) != 0)
		return false;
	path += strlen(STORE);
	if (strspn(path, hash) < HASH_LENGTH || path[HASH_LENGTH] != '-')
		return false;
	path += HASH_LENGTH + 1;
	return *path && strlen(path) <= NAME_MOST && path[strspn(path, name)] == '\0';
}

int lock_parse(const char *file, const char *text, size_t length, struct lock *ret_lock,
	       struct err *err)
{
	struct lock lock = {.file = NULL};

	if (json_parse(file, text, length, &lock.root, err) < 0)
		return -1;
	lock.file = xstrdup(file);
	*ret_lock = lock;
	return 0;
}

int lock_load(const char *path, const char *file, struct lock *ret_lock, struct err *err)
{
	auto_free char *real = realpath(path, NULL);
	auto_free char *text = NULL;
	size_t length;

	if (file_read(AT_FDCWD, real ? real : path, JSON_TEXT_MAX, &text, &length, err) < 0) {
		if (err->code != ERR_NOT_FOUND)
			return -1;
		err->code = ERR_NONE;
		*ret_lock = (struct lock){.file = xstrdup(file)};
		return 0;
	}
	return lock_parse(file, text, length, ret_lock, err);
}

void lock_done(struct lock *lock)
{
	free(lock->file);
	json_free(lock->root);
	*lock = (struct lock){.file = NULL};
}

/* The member, which must be an object. */
static int object_in(const struct lock *lock, const struct json *parent, const char *name,
		     const struct json **ret, struct err *err)
{
	const struct json *member = json_member(parent, name);

	*ret = member && member->type != JSON_NULL ? member : NULL;
	if (*ret && member->type != JSON_OBJECT)
		return json_error(member, lock->file, err, "\"%s\" must be an object, not %s", name,
				  json_type_name(member->type));
	return 0;
}

static int add_path(const struct lock *lock, const struct json *holder, const char *field,
		    struct lock_answer *answer, struct err *err)
{
	const struct json *path = json_field(holder, field);

	if (!path || path->type != JSON_STRING || !lock_is_store_path(path->text))
		return json_error(path ? path : holder, lock->file, err,
				  "\"%s\" must be a path like /nix/store/HASH-NAME", field);
	if (answer->count == LOCK_PATHS)
		return json_error(holder, lock->file, err, "more than %d outputs of one package",
				  LOCK_PATHS);
	answer->paths[answer->count++] = path->text;
	return 0;
}

static const struct json *output_of_name(const struct json *outputs, const char *name)
{
	for (size_t i = 0; i < outputs->count; i++) {
		const struct json *is = json_field(outputs->items[i], "name");

		if (is && is->type == JSON_STRING && strcmp(is->text, name) == 0)
			return outputs->items[i];
	}
	return NULL;
}

static int named_outputs(const struct lock *lock, const struct json *outputs,
			 const struct json *names, struct lock_answer *answer, struct err *err)
{
	for (size_t i = 0; i < names->count; i++) {
		const char *name = config_text(names->items[i]);
		const struct json *output = output_of_name(outputs, name);

		if (!output) {
			answer->missing = name;
			answer->count = 0;
			return 0;
		}
		if (add_path(lock, output, "path", answer, err) < 0)
			return -1;
	}
	return 0;
}

static int usual_outputs(const struct lock *lock, const struct json *outputs,
			 struct lock_answer *answer, struct err *err)
{
	for (size_t i = 0; i < outputs->count; i++) {
		const struct json *is = json_field(outputs->items[i], "default");

		if (is && is->type == JSON_TRUE &&
		    add_path(lock, outputs->items[i], "path", answer, err) < 0)
			return -1;
	}
	return answer->count > 0 ? 0 : add_path(lock, outputs->items[0], "path", answer, err);
}

/* An old lock names one path, which is the output "out". */
static int legacy_output(const struct lock *lock, const struct json *info, const struct json *names,
			 struct lock_answer *answer, struct err *err)
{
	const struct json *path = json_field(info, "store_path");

	if (!path || (path->type == JSON_STRING && !path->text[0]))
		return 0;
	for (size_t i = 0; names && i < names->count; i++)
		if (strcmp(config_text(names->items[i]), "out") != 0) {
			answer->missing = config_text(names->items[i]);
			return 0;
		}
	return add_path(lock, info, "store_path", answer, err);
}

int lock_find(const struct lock *lock, const struct config_package *package, const char *system,
	      struct lock_answer *ret_answer, struct err *err)
{
	const struct json *names =
	    package->outputs && package->outputs->count > 0 ? package->outputs : NULL;
	const struct json *at = NULL;
	const struct json *outputs;

	*ret_answer = (struct lock_answer){.count = 0};
	if (lock->root && lock->root->type != JSON_OBJECT)
		return json_error(lock->root, lock->file, err, "expected an object, found %s",
				  json_type_name(lock->root->type));
	if (object_in(lock, lock->root, "packages", &at, err) < 0 ||
	    object_in(lock, at, package->key, &at, err) < 0 ||
	    object_in(lock, at, "systems", &at, err) < 0 ||
	    object_in(lock, at, system, &at, err) < 0)
		return -1;
	if (!at)
		return 0;
	outputs = json_field(at, "outputs");
	if (outputs && outputs->type != JSON_ARRAY)
		return json_error(outputs, lock->file, err, "\"outputs\" must be a list, not %s",
				  json_type_name(outputs->type));
	if (!outputs || outputs->count == 0)
		return legacy_output(lock, at, names, ret_answer, err);
	return names ? named_outputs(lock, outputs, names, ret_answer, err)
		     : usual_outputs(lock, outputs, ret_answer, err);
}
