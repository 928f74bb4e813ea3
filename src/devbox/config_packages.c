#include "devbox/config_internal.h"

#include "base/mem.h"

#include <string.h>

#define PACKAGES_MAX 1024

static bool is_text(const struct json *json)
{
	return json->type == JSON_STRING || json->type == JSON_NULL;
}

/* "name@version": the last '@' divides, but one at the end is part of the name
 * ("emacsPackages.@"). */
static size_t name_length(const char *key)
{
	const char *at = strrchr(key, '@');

	return at && at[1] ? (size_t)(at - key) : strlen(key);
}

static void read_list(struct config *config, const struct json *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const char *key = config_text(list->items[i]);
		struct config_package *package = &config->packages[config->package_count++];

		package->key = xstrdup(key);
		package->name = xstrndup(key, name_length(key));
	}
}

static int check_patch(const struct config *config, const struct json *item, struct err *err)
{
	const struct json *patch = NULL;

	if (config_field(config, item, "patch", JSON_STRING, &patch, err) < 0)
		return -1;
	if (patch && patch->text[0] && strcmp(patch->text, "auto") != 0 &&
	    strcmp(patch->text, "always") != 0 && strcmp(patch->text, "never") != 0)
		return json_error(patch, config->file, err,
				  "\"patch\" of \"%s\" is auto, always or never, not \"%s\"",
				  item->name, patch->text);
	return 0;
}

static int read_member(struct config *config, const struct json *item, struct err *err)
{
	struct config_package *package = &config->packages[config->package_count++];
	const struct json *version = is_text(item) ? item : NULL;
	const struct json *off = json_field(item, "disable_plugin");

	package->name = xstrdup(item->name);
	if (!is_text(item) && item->type != JSON_OBJECT)
		return json_error(item, config->file, err,
				  "the package \"%s\" must be a version or an object, not %s",
				  item->name, json_type_name(item->type));
	if (item->type == JSON_OBJECT &&
	    (config_field(config, item, "version", JSON_STRING, &version, err) < 0 ||
	     config_field(config, item, "platforms", JSON_ARRAY, &package->platforms, err) < 0 ||
	     config_field(config, item, "excluded_platforms", JSON_ARRAY,
			  &package->excluded_platforms, err) < 0 ||
	     config_field(config, item, "outputs", JSON_ARRAY, &package->outputs, err) < 0 ||
	     config_all_strings(config, package->platforms, "platforms", err) < 0 ||
	     config_all_strings(config, package->excluded_platforms, "excluded_platforms", err) <
		 0 ||
	     config_all_strings(config, package->outputs, "outputs", err) < 0 ||
	     check_patch(config, item, err) < 0))
		return -1;
	package->plugin_off = off && off->type == JSON_TRUE;
	package->key = version && version->text && version->text[0]
			   ? xasprintf("%s@%s", item->name, version->text)
			   : xstrdup(item->name);
	return 0;
}

static int read_map(struct config *config, const struct json *map, struct err *err)
{
	for (size_t i = 0; i < map->count; i++)
		if (read_member(config, map->items[i], err) < 0)
			return -1;
	return 0;
}

/* Of several packages of one name the last stays. */
static void keep_last(struct config *config)
{
	size_t kept = 0;

	for (size_t i = 0; i < config->package_count; i++) {
		struct config_package *package = &config->packages[i];
		bool last = true;

		for (size_t k = i + 1; last && k < config->package_count; k++)
			last = strcmp(package->name, config->packages[k].name) != 0;
		if (last) {
			config->packages[kept++] = *package;
		} else {
			free(package->key);
			free(package->name);
		}
	}
	config->package_count = kept;
}

int config_read_packages(struct config *config, struct err *err)
{
	const struct json *packages = json_field(config->root, "packages");

	if (!packages)
		return 0;
	if (packages->type != JSON_ARRAY && packages->type != JSON_OBJECT)
		return json_error(packages, config->file, err,
				  "\"packages\" must be a list or an object, not %s",
				  json_type_name(packages->type));
	if (packages->count > PACKAGES_MAX)
		return json_error(packages, config->file, err, "more than %d packages",
				  PACKAGES_MAX);
	if (packages->type == JSON_ARRAY &&
	    config_all_strings(config, packages, "packages", err) < 0)
		return -1;
	config->packages = xcalloc(packages->count + 1, sizeof(*config->packages));
	if (packages->type == JSON_ARRAY)
		read_list(config, packages);
	else if (read_map(config, packages, err) < 0)
		return -1;
	keep_last(config);
	return 0;
}
