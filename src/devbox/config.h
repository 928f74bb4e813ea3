#pragma once
/*
 * What devbox.json says: the text as a struct, checked as devbox checks it, every error with file,
 * line and column. Strings belong to the config. Packages are in the order in which devbox would
 * install them, one a name; `key` is how devbox.lock calls them, "name@version" or "name".
 */
#include "devbox/json.h"

#define CONFIG_NAME "devbox.json"

struct config_package {
	char *key;
	char *name;
	const struct json *platforms; /* lists of strings, or NULL */
	const struct json *excluded_platforms;
	const struct json *outputs;
	bool plugin_off;
};

struct config_script {
	const char *name;
	char *body;
};

struct config {
	char *file; /* for messages */
	struct json *root;
	struct config_package *packages;
	size_t package_count;
	struct config_script *scripts; /* sorted by name, one a name */
	size_t script_count;
	char *init_hook;	/* "" if there is none */
	const struct json *env; /* objects of strings and nulls, or NULL */
	const struct json *aliases;
	const struct json *env_from; /* a string, or NULL */
	const struct json *include;  /* a list of strings, or NULL */
};

/* Reads the file at `path`, at most JSON_TEXT_MAX bytes; `file` is its name in messages. */
int config_load(const char *path, const char *file, struct config *ret_config, struct err *err);

/* The same from text. */
int config_parse(const char *file, const char *text, size_t length, struct config *ret_config,
		 struct err *err);
void config_done(struct config *config);
#define auto_config CLEANUP(config_done)

const struct config_script *config_script(const struct config *config, const char *name);

/* The value of a member whose value is a string or null. */
static inline const char *config_text(const struct json *json)
{
	return json->text ? json->text : "";
}
