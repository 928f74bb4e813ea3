#include "devbox/config_internal.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <fcntl.h>
#include <string.h>

#define SPACE	      " \t\n\v\f\r"
#define COMMIT_LENGTH 40
#define SCRIPT_MAX    ((size_t)1 << 20)

int config_field(const struct config *config, const struct json *object, const char *name,
		 enum json_type type, const struct json **ret, struct err *err)
{
	const struct json *field = json_field(object, name);

	if (field && field->type != type)
		return json_error(field, config->file, err, "\"%s\" must be %s, not %s", name,
				  json_type_name(type), json_type_name(field->type));
	*ret = field;
	return 0;
}

int config_all_strings(const struct config *config, const struct json *json, const char *what,
		       struct err *err)
{
	for (size_t i = 0; json && i < json->count; i++) {
		const struct json *item = json->items[i];

		if (item->type != JSON_STRING && item->type != JSON_NULL)
			return json_error(
			    item, config->file, err, "%s%s%s in \"%s\" must be a string, not %s",
			    item->name ? "\"" : "", item->name ? item->name : "what is",
			    item->name ? "\"" : "", what, json_type_name(item->type));
	}
	return 0;
}

static bool is_blank(const char *text)
{
	return text[strspn(text, SPACE)] == '\0';
}

/* A script or hook: a string, or a list of lines. What devbox does not understand is nothing. */
static int read_commands(const struct config *config, const struct json *json, const char *what,
			 char **ret_text, struct err *err)
{
	auto_buf struct buf buf;

	buf_init(&buf, SCRIPT_MAX);
	if (json && json->type == JSON_STRING && buf_append_string(&buf, json->text) < 0)
		return json_error(json, config->file, err, "\"%s\" is longer than %zu bytes", what,
				  SCRIPT_MAX);
	if (json && json->type == JSON_ARRAY) {
		if (config_all_strings(config, json, what, err) < 0)
			return -1;
		for (size_t i = 0; i < json->count; i++)
			if ((i > 0 && buf_append(&buf, "\n", 1) < 0) ||
			    buf_append_string(&buf, config_text(json->items[i])) < 0)
				return json_error(json, config->file, err,
						  "\"%s\" is longer than %zu bytes", what,
						  SCRIPT_MAX);
	}
	*ret_text = buf_take_string(&buf);
	return 0;
}

/* A word to type: of a script or an alias. */
static int check_name(const struct config *config, const struct json *item, const char *what,
		      struct err *err)
{
	if (is_blank(item->name))
		return json_error(item, config->file, err, "%s without a name", what);
	if (item->name[strcspn(item->name, SPACE)] != '\0')
		return json_error(item, config->file, err,
				  "the name of the %s \"%s\" has white space in it", what,
				  item->name);
	return 0;
}

static int read_script(struct config *config, const struct json *item, struct err *err)
{
	auto_free char *body = NULL;

	if (check_name(config, item, "script", err) < 0 ||
	    read_commands(config, item, item->name, &body, err) < 0)
		return -1;
	if (strchr(item->name, '/'))
		return json_error(item, config->file, err,
				  "the name of the script \"%s\" has a slash in it", item->name);
	if (is_blank(body))
		return json_error(item, config->file, err, "the script \"%s\" has nothing to run",
				  item->name);
	config->scripts[config->script_count++] =
	    (struct config_script){.name = item->name, .body = take_ptr(&body)};
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct config_script *)a)->name,
		      ((const struct config_script *)b)->name);
}

static int read_scripts(struct config *config, const struct json *shell, struct err *err)
{
	const struct json *scripts = NULL;

	if (config_field(config, shell, "scripts", JSON_OBJECT, &scripts, err) < 0)
		return -1;
	if (!scripts)
		return 0;
	config->scripts = xcalloc(scripts->count + 1, sizeof(*config->scripts));
	for (size_t i = 0; i < scripts->count; i++)
		if (json_member(scripts, scripts->items[i]->name) == scripts->items[i] &&
		    read_script(config, scripts->items[i], err) < 0)
			return -1;
	qsort(config->scripts, config->script_count, sizeof(*config->scripts), by_name);
	return 0;
}

static int read_shell(struct config *config, struct err *err)
{
	const struct json *shell = NULL;

	if (config_field(config, config->root, "shell", JSON_OBJECT, &shell, err) < 0 ||
	    read_commands(config, json_field(shell, "init_hook"), "init_hook", &config->init_hook,
			  err) < 0)
		return -1;
	return read_scripts(config, shell, err);
}

static int read_aliases(struct config *config, struct err *err)
{
	if (config_field(config, config->root, "aliases", JSON_OBJECT, &config->aliases, err) < 0 ||
	    config_all_strings(config, config->aliases, "aliases", err) < 0)
		return -1;
	for (size_t i = 0; config->aliases && i < config->aliases->count; i++) {
		const struct json *item = config->aliases->items[i];

		if (check_name(config, item, "alias", err) < 0)
			return -1;
		if (is_blank(config_text(item)))
			return json_error(item, config->file, err,
					  "the alias \"%s\" has nothing to run", item->name);
	}
	return 0;
}

static int check_nixpkgs(const struct config *config, struct err *err)
{
	const struct json *nixpkgs = NULL;
	const struct json *commit = NULL;

	if (config_field(config, config->root, "nixpkgs", JSON_OBJECT, &nixpkgs, err) < 0 ||
	    config_field(config, nixpkgs, "commit", JSON_STRING, &commit, err) < 0)
		return -1;
	if (commit && commit->text[0] && strlen(commit->text) != COMMIT_LENGTH)
		return json_error(commit, config->file, err,
				  "nixpkgs.commit has %zu characters instead of %d",
				  strlen(commit->text), COMMIT_LENGTH);
	return 0;
}

static int read_all(struct config *config, struct err *err)
{
	const struct json *ignored = NULL;
	const struct json *root = config->root;

	if (root->type != JSON_OBJECT && root->type != JSON_NULL)
		return json_error(root, config->file, err, "expected an object, found %s",
				  json_type_name(root->type));
	if (config_field(config, root, "name", JSON_STRING, &ignored, err) < 0 ||
	    config_field(config, root, "description", JSON_STRING, &ignored, err) < 0 ||
	    config_field(config, root, "env", JSON_OBJECT, &config->env, err) < 0 ||
	    config_all_strings(config, config->env, "env", err) < 0 ||
	    config_field(config, root, "env_from", JSON_STRING, &config->env_from, err) < 0 ||
	    config_field(config, root, "include", JSON_ARRAY, &config->include, err) < 0 ||
	    config_all_strings(config, config->include, "include", err) < 0)
		return -1;
	return read_shell(config, err) < 0 || read_aliases(config, err) < 0 ||
		       check_nixpkgs(config, err) < 0
		   ? -1
		   : config_read_packages(config, err);
}

int config_parse(const char *file, const char *text, size_t length, struct config *ret_config,
		 struct err *err)
{
	struct config config = {.file = xstrdup(file)};

	if (json_parse(file, text, length, &config.root, err) < 0 || read_all(&config, err) < 0) {
		config_done(&config);
		return -1;
	}
	*ret_config = config;
	return 0;
}

int config_load(const char *path, const char *file, struct config *ret_config, struct err *err)
{
	auto_free char *real = realpath(path, NULL);
	auto_free char *text = NULL;
	size_t length;

	/* A link is followed: this runs as the user, on the user's files. */
	if (file_read(AT_FDCWD, real ? real : path, JSON_TEXT_MAX, &text, &length, err) < 0)
		return -1;
	return config_parse(file, text, length, ret_config, err);
}

void config_done(struct config *config)
{
	for (size_t i = 0; i < config->package_count; i++) {
		free(config->packages[i].key);
		free(config->packages[i].name);
	}
	for (size_t i = 0; i < config->script_count; i++)
		free(config->scripts[i].body);
	free(config->packages);
	free(config->scripts);
	free(config->init_hook);
	free(config->file);
	json_free(config->root);
	*config = (struct config){.file = NULL};
}

const struct config_script *config_script(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->script_count; i++)
		if (strcmp(config->scripts[i].name, name) == 0)
			return &config->scripts[i];
	return NULL;
}
