#include "devbox/scripts.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "devbox/quote.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER	   "gen/scripts"
#define SUFFIX	   ".sh"
#define SCRIPT_MAX ((size_t)2 << 20)
#define MODE	   0755

char *scripts_path(const struct project *project, const char *name)
{
	return xasprintf("%s/.devbox/" FOLDER "/%s" SUFFIX, project->root, name);
}

static int write_file(int dir, const char *name, const char *text, struct err *err)
{
	auto_free char *file = xasprintf("%s" SUFFIX, name);
	auto_free char *old = NULL;
	struct err ignored = ERR_INIT;

	if (file_read(dir, file, SCRIPT_MAX, &old, NULL, &ignored) == 0 && strcmp(old, text) == 0)
		return 0;
	return file_write_atomic(dir, file, text, strlen(text), MODE, err);
}

/* Scripts stop at the first failure unless a feature switch of devbox's says otherwise. */
static bool stops_at_failure(void)
{
	static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
	const char *value = getenv("DEVBOX_FEATURE_SCRIPT_EXIT_ON_ERROR");

	for (size_t i = 0; value && i < ARRAY_SIZE(no); i++)
		if (strcmp(value, no[i]) == 0)
			return false;
	return true;
}

static int write_script(const struct project *project, int dir, const char *name, const char *body,
			struct err *err)
{
	auto_free char *hooks = scripts_path(project, SCRIPTS_HOOK);
	auto_buf struct buf buf;

	buf_init(&buf, SCRIPT_MAX);
	if (buf_printf(&buf, "%sif [ -z \"$%s\" ]; then\n    . ",
		       stops_at_failure() ? "set -e\n\n" : "", project->skip_hook) < 0 ||
	    quote_single(&buf, hooks) < 0 || buf_append_string(&buf, "\nfi\n\n") < 0 ||
	    buf_append_string(&buf, body) < 0 || buf_append(&buf, "\n", 1) < 0)
		return err_set(err, ERR_INVALID, "the script %s is too long", name);
	auto_free char *text = buf_take_string(&buf);
	return write_file(dir, name, text, err);
}

static bool is_ours(const struct project *project, const char *file)
{
	size_t length = strlen(file);

	if (length <= strlen(SUFFIX) || strcmp(file + length - strlen(SUFFIX), SUFFIX) != 0)
		return false;
	auto_free char *name = xstrndup(file, length - strlen(SUFFIX));
	return strcmp(name, SCRIPTS_HOOK) == 0 || strcmp(name, SCRIPTS_COMMAND) == 0 ||
	       config_script(&project->config, name);
}

static void remove_stale(const struct project *project, int dir)
{
	int copy = fcntl(dir, F_DUPFD_CLOEXEC, 3);
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	while (stream && (entry = readdir(stream)))
		if (!is_ours(project, entry->d_name))
			(void)unlinkat(dir, entry->d_name, 0);
	if (stream)
		(void)closedir(stream);
	else if (copy >= 0)
		(void)close(copy);
}

int scripts_write(const struct project *project, struct err *err)
{
	auto_free char *path = project_local(project, FOLDER);
	auto_free char *runx = project_local(project, "virtenv/runx/bin");
	auto_close int dir = -1;

	if (file_mkdirs(path, 0755, err) < 0 || file_mkdirs(runx, 0755, err) < 0)
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(err, "%s", path);
	if (write_file(dir, SCRIPTS_HOOK, project->config.init_hook, err) < 0 ||
	    write_script(project, dir, SCRIPTS_COMMAND, "eval \"$DEVBOX_RUN_CMD\"\n", err) < 0)
		return err_wrap(err, "%s", path);
	for (size_t i = 0; i < project->config.script_count; i++)
		if (write_script(project, dir, project->config.scripts[i].name,
				 project->config.scripts[i].body, err) < 0)
			return err_wrap(err, "%s", path);
	remove_stale(project, dir);
	return 0;
}
