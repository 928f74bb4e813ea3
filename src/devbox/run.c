#include "devbox/run.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/safe_text.h"
#include "devbox/quote.h"
#include "devbox/scripts.h"

#include <stdio.h>
#include <string.h>

#define COMMAND_MAX ((size_t)4 << 20)

void run_list(const struct project *project)
{
	const struct config *config = &project->config;

	if (config->script_count == 0)
		(void)puts("no scripts defined in " CONFIG_NAME);
	else
		(void)puts("Available scripts:");
	for (size_t i = 0; i < config->script_count; i++) {
		const char *name = config->scripts[i].name;
		auto_free char *safe = safe_text(name, strlen(name), SAFE_TEXT_LINE);

		(void)printf("* %s\n", safe);
	}
}

static int append_arguments(struct buf *buf, char *const *arguments)
{
	for (; *arguments; arguments++)
		if (buf_append(buf, " ", 1) < 0 || quote_double(buf, *arguments) < 0)
			return -1;
	return 0;
}

static int put_exec(struct buf *buf, const char *file)
{
	return buf_append_string(buf, "exec ") < 0 || quote_single(buf, file) < 0 ? -1 : 0;
}

static const char *find_alias(const struct project *project, const char *name)
{
	const struct json *alias = json_member(project->config.aliases, name);

	return alias ? config_text(alias) : name;
}

/* What sh -c gets. It becomes the script: a shell that waited for it would die of the Ctrl-C that the
 * script catches. A command goes through a variable, so that the hook has run before the shell looks
 * at it. */
static int make_command(const struct project *project, struct vars *vars, char *const *words,
			struct buf *buf)
{
	const bool script = config_script(&project->config, words[0]) != NULL;
	auto_free char *file = scripts_path(project, script ? words[0] : SCRIPTS_COMMAND);

	if (script)
		return put_exec(buf, file) < 0 || append_arguments(buf, words + 1) < 0 ? -1 : 0;
	if (buf_append_string(buf, find_alias(project, words[0])) < 0 ||
	    append_arguments(buf, words + 1) < 0)
		return -1;
	auto_free char *command = buf_take_string(buf);
	vars_set(vars, "DEVBOX_RUN_CMD", command);
	return put_exec(buf, file);
}

int run_become(const struct project *project, struct vars *vars, bool active, char *const *words,
	       struct err *err)
{
	static char option[] = "-c";
	auto_free char *sh = project_find_program("sh");
	auto_buf struct buf buf;

	if (active)
		vars_set(vars, project->skip_hook, "true");
	buf_init(&buf, COMMAND_MAX);
	if (make_command(project, vars, words, &buf) < 0)
		return err_set(err, ERR_USAGE, "the command is longer than %zu bytes", COMMAND_MAX);
	if (chdir(project->root) < 0)
		return err_sys(err, "%s", project->root);
	auto_free char *command = buf_take_string(&buf);
	char *const arguments[] = {(char[]){"sh"}, option, command, NULL};
	char **environment = vars_to_environ(vars);
	(void)execve(sh ? sh : "/bin/sh", arguments, environment);
	(void)err_sys(err, "run sh");
	vars_free_environ(environment);
	return -1;
}
