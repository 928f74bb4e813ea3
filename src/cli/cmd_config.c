#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/safe_text.h"
#include "cli/command.h"
#include "project/data_dir.h"
#include "project/settings.h"
#include "project/share_list.h"
#include "wire/proto.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int print_setting(int data_dir, size_t i, struct err *err)
{
	struct setting_text setting;

	if (settings_text(data_dir, i, &setting, err) < 0)
		return -1;
	auto_free char *value = setting.value;
	(void)printf("%-10s%-14s%s\n", setting.name, value,
		     setting.is_default ? "default" : "from the file of that name");
	return 0;
}

/* Also the value of the key `shares`: then without the key before each. */
static int print_shares(int data_dir, const struct project *project, bool with_key, struct err *err)
{
	auto_share_list struct share_list list = {0};

	if (share_list_load(data_dir, project, &list, err) < 0)
		return -1;
	for (size_t i = 0; i < list.count; i++) {
		auto_free char *text = share_entry_text(&list.entries[i]);
		auto_free char *safe = safe_text(text, strlen(text), SAFE_TEXT_LINE);

		(void)printf("%s%s\n", with_key ? "share     " : "", safe);
	}
	return 0;
}

static int print_all(int data_dir, const struct project *project, struct err *err)
{
	struct err end = ERR_INIT;
	size_t i = 0;

	while (print_setting(data_dir, i, &end) == 0)
		i++;
	if (end.code == ERR_NOT_FOUND)
		return print_shares(data_dir, project, true, err);
	*err = end;
	return -1;
}

static int print_value(int data_dir, const char *key, struct err *err)
{
	struct setting_text setting;
	size_t i;

	if (settings_find(key, &i, err) < 0 || settings_text(data_dir, i, &setting, err) < 0)
		return -1;
	auto_free char *value = setting.value;
	(void)puts(value);
	return 0;
}

static int set(int data_dir, const char *key, const char *value, struct err *err)
{
	size_t i;

	return settings_find(key, &i, err) < 0 ? -1 : settings_set(data_dir, i, value, err);
}

/* The binary cache is the share at a place that the agent knows. */
static int print_cache(int data_dir, const struct project *project, struct err *err)
{
	auto_share_list struct share_list list = {0};

	if (share_list_load(data_dir, project, &list, err) < 0)
		return -1;
	for (size_t i = 0; i < list.count; i++) {
		const struct share_entry *entry = &list.entries[i];
		auto_free char *safe = safe_text(entry->path, strlen(entry->path), SAFE_TEXT_LINE);

		if (strcmp(entry->guest_path, PROTO_NIX_CACHE) == 0)
			(void)puts(safe);
	}
	return 0;
}

static int set_cache(int data_dir, const struct project *project, const char *path, struct err *err)
{
	auto_free char *info = path_join(path, "nix-cache-info");

	if (*path && access(path, F_OK) == 0 && access(info, F_OK) < 0)
		return err_set(err, ERR_INVALID,
			       "%.200s is no binary cache, it has no nix-cache-info; `nix copy "
			       "--to file://DIR PACKAGE...` makes one",
			       path);
	return share_list_set(data_dir, project, PROTO_NIX_CACHE, path, err);
}

/* Under a lock: two of us may want to write the same file. */
static int change(int data_dir, const struct project *project, const char *key, const char *value,
		  struct err *err)
{
	auto_close int lock = -1;

	if (file_lock_dir(data_dir, true, &lock, err) < 0)
		return -1;
	if (strcmp(key, "share+") == 0)
		return share_list_add(data_dir, project, value, err);
	if (strcmp(key, "share-") == 0)
		return share_list_remove(data_dir, project, value, err);
	if (strcmp(key, "cache") == 0)
		return set_cache(data_dir, project, value, err);
	if (strcmp(key, "share") == 0)
		return err_set(err, ERR_USAGE,
			       "share+=PATH shares a directory, share-=PATH does no longer");
	return set(data_dir, key, value, err);
}

static int run(const struct invocation *invocation, struct err *err)
{
	auto_project struct project project = {0};
	auto_close int data_dir = -1;

	if (command_project(invocation, &project, err) < 0 ||
	    data_dir_open(&project, &data_dir, NULL, err) < 0)
		return -1;
	if (invocation->count == 0)
		return print_all(data_dir, &project, err);
	auto_free char *key = xstrdup(invocation->arguments[0]);
	char *equals = strchr(key, '=');
	if (!equals && strcmp(key, "share") == 0)
		return print_shares(data_dir, &project, false, err);
	if (!equals && strcmp(key, "cache") == 0)
		return print_cache(data_dir, &project, err);
	if (!equals)
		return print_value(data_dir, key, err);
	*equals = '\0';
	if (change(data_dir, &project, key, equals + 1, err) == 0)
		return 0;
	return err->code == ERR_SYSTEM ? err_wrap(err, "%s", project.data_dir) : -1;
}

const struct command cmd_config = {
    .name = "config",
    .arguments = "[KEY[=VALUE]|share+=PATH[:ro][:GUESTPATH]|share-=PATH|cache=DIR]",
    .summary = "print the VM's settings, or one, or change one for the next start",
    .max_arguments = 1,
    .run = run,
};
