#include "base/file.h"
#include "base/mem.h"
#include "base/safe_text.h"
#include "base/tree.h"
#include "cli/command.h"
#include "project/live.h"
#include "project/registry.h"
#include "project/saved.h"
#include "project/settings.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct option ls_options[] = {
    {.name = "json", .summary = "print JSON"},
    {.name = "prune", .summary = "forget the missing ones"},
    {0},
};

/* What is said of one VM. */
struct row {
	const char *state; /* running, suspended, stopped, unfinished, missing */
	char *guest;	   /* the caller's */
	uint64_t disk;	   /* bytes it really takes */
};

static struct row look(const struct registered *known)
{
	struct row row = {.state = "missing", .guest = xstrdup("")};
	auto_close int data_dir = -1;
	auto_close int lock = -1;
	struct err ignored = ERR_INIT;
	struct settings settings;
	struct file_id id;

	if (file_open_dir(AT_FDCWD, known->path, &data_dir, &ignored) < 0 ||
	    file_id_get(data_dir, "", &id) < 0 || !file_id_equal(&id, &known->directory))
		return row;
	bool saved = saved_is_there(data_dir, NULL);
	bool runs = live_take(data_dir, &lock, &ignored) < 0;
	row.state = runs ? "running" : saved ? "suspended" : "stopped";
	close_fd(&lock); /* counting takes long, and somebody may want it */
	row.disk = tree_bytes(AT_FDCWD, known->path);
	if (settings_load(data_dir, &settings, &ignored) == 0) {
		free(row.guest);
		row.guest = xstrdup(settings.guest->name);
	} else if (ignored.code == ERR_NOT_FOUND && !runs) {
		row.state = "unfinished"; /* an install or a removal was cut short */
	}
	return row;
}

static bool is_missing(const struct row *row)
{
	return strcmp(row->state, "missing") == 0;
}

/* ctx counts the missing ones. */
static int print_line(void *ctx, const struct registered *known, struct err *err)
{
	struct row row = look(known);
	auto_free char *guest = row.guest;
	auto_free char *path = safe_text(known->path, strlen(known->path), SAFE_TEXT_LINE);
	size_t *missing = ctx;

	(void)err;
	(void)printf("%-11s%-9s%7.1f MiB  %s\n", row.state, guest, (double)row.disk / (1 << 20),
		     path);
	*missing += is_missing(&row);
	return 0;
}

static int print_lines(struct err *err)
{
	size_t missing = 0;

	if (registry_each(print_line, &missing, err) < 0)
		return -1;
	if (missing > 0)
		(void)fprintf(
		    stderr,
		    "dxvm: %zu missing, removed by hand or on a disk that is not mounted; "
		    "`dxvm ls --prune` forgets such VMs\n",
		    missing);
	return 0;
}

static int forget_missing(void *ctx, const struct registered *known, struct err *err)
{
	struct row row = look(known);

	(void)ctx;
	free(row.guest);
	return is_missing(&row) ? registry_forget_known(known, err) : 0;
}

static int add_object(void *ctx, const struct registered *known, struct err *err)
{
	struct row row = look(known);
	auto_free char *guest = row.guest;
	auto_free char *path = safe_text(known->path, strlen(known->path), SAFE_TEXT_LINE);

	(void)err;
	(void)json_array_append_new(ctx, json_pack("{s:s, s:s, s:s, s:I, s:s}", "id", known->id,
						   "state", row.state, "guest", guest, "disk_bytes",
						   (json_int_t)row.disk, "path", path));
	return 0;
}

static int run(const struct invocation *invocation, struct err *err)
{
	if (options_flag(&invocation->options, "prune") &&
	    registry_each(forget_missing, NULL, err) < 0)
		return -1;
	if (!options_flag(&invocation->options, "json"))
		return print_lines(err);
	json_auto_t *all = json_array();
	if (registry_each(add_object, all, err) < 0)
		return -1;
	(void)json_dumpf(all, stdout, JSON_INDENT(2));
	(void)putchar('\n');
	return 0;
}

const struct command cmd_ls = {
    .name = "ls",
    .arguments = "",
    .summary = "list your VMs: state, guest, bytes on disk, path",
    .options = ls_options,
    .run = run,
};
