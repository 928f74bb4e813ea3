#include "devbox/compute.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "devbox/dotenv.h"
#include "devbox/expand.h"
#include "devbox/pathlist.h"
#include "devbox/say.h"

#include <fcntl.h>
#include <string.h>

extern char **environ;

#define USUAL_PATH "/usr/local/bin:/usr/bin:/bin"

/* What a new shell sets by itself. */
static const char *const not_taken[] = {
    "DEVBOX_LATEST_VERSION", "OLDPWD", "PWD", "SHELL", "SHLVL", "_"};
static const char *const pure_taken[] = {"HOME", "PATH", "TERM"};

static bool is_among(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* The programs of the system that hooks ask for, before PATH changes. */
static void set_system_program(struct vars *vars, const char *variable, const char *name,
			       const char *fallback)
{
	auto_free char *program = NULL;

	if (*vars_value(vars, variable))
		return;
	program = project_find_program(name);
	vars_set(vars, variable, program ? program : fallback);
}

/* Without the system's directories, but with nix's, as devbox has it: and those are in a Debian
 * guest /usr/bin. */
static char *pure_path(const struct project *project)
{
	auto_free char *nix = project_find_program("nix");
	auto_free char *own = project_local(project, "bin");

	if (nix)
		*strrchr(nix, '/') = '\0';
	return pathlist_join(nix ? nix : USUAL_PATH, own);
}

static void take_current(const struct project *project, bool pure, struct vars *vars)
{
	auto_vars struct vars current = {.count = 0};

	vars_from_environ(&current, environ);
	set_system_program(&current, "DEVBOX_SYSTEM_BASH", "bash", "/bin/bash");
	set_system_program(&current, "DEVBOX_SYSTEM_SED", "sed", "/usr/bin/sed");
	for (size_t i = 0; i < current.count; i++) {
		const struct var *var = &current.list[i];

		if (!is_among(not_taken, ARRAY_SIZE(not_taken), var->name) &&
		    (!pure || is_among(pure_taken, ARRAY_SIZE(pure_taken), var->name)))
			vars_set(vars, var->name, var->value);
	}
	if (pure) {
		auto_free char *path = pure_path(project);

		vars_set(vars, "DEVBOX_PURE_SHELL", "1");
		vars_set(vars, "PATH", path);
	}
}

static int set_helpers(const struct project *project, const struct compute *compute,
		       struct vars *vars, struct err *err)
{
	auto_free char *profile = project_local(project, "nix/profile/default");
	auto_free char *bin = path_join(profile, "bin");
	auto_free char *first = pathlist_join(bin, compute->package_path);
	auto_free char *path = pathlist_join(first, vars_value(vars, "PATH"));
	auto_free char *config_dir = path_join(project->root, "devbox.d");
	auto_free char *cwd = realpath(".", NULL);

	if (!cwd)
		return err_sys(err, "current directory");
	vars_set(vars, "PATH", path);
	vars_set(vars, "DEVBOX_PROJECT_ROOT", project->root);
	vars_set(vars, "DEVBOX_WD", cwd);
	vars_set(vars, "DEVBOX_CONFIG_DIR", config_dir);
	vars_set(vars, "DEVBOX_PACKAGES_DIR", profile);
	return 0;
}

static int read_dotenv(const char *path, const char *file, struct vars *vars, struct err *err)
{
	auto_free char *real = realpath(path, NULL);
	auto_free char *text = NULL;
	size_t length;

	if (file_read(AT_FDCWD, real ? real : path, DOTENV_TEXT_MAX, &text, &length, err) < 0)
		return -1;
	if (strlen(text) != length)
		return err_set(err, ERR_INVALID, "%s has a NUL character in it", file);
	return dotenv_parse(file, text, vars, err);
}

/* Go's filepath.Ext: from the last dot of the last component. */
static bool ends_in_dot_env(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *dot = strrchr(slash ? slash : path, '.');

	return dot && strcmp(dot, ".env") == 0;
}

static int take_env_from(const struct project *project, struct buf *notes, struct vars *own,
			 struct err *err)
{
	const struct json *from = project->config.env_from;
	static const char *const services[] = {"envsec", "jetify-cloud", "jetpack-cloud"};

	if (!from || !*from->text)
		return 0;
	if (is_among(services, ARRAY_SIZE(services), from->text)) {
		say_later(notes, "\"env_from\": \"%s\" is ignored: that service is no more",
			  from->text);
		return 0;
	}
	if (!ends_in_dot_env(from->text))
		return json_error(from, project->config.file, err,
				  "unknown env_from value: %s. It must be a path to a file ending "
				  "in \".env\"",
				  from->text);
	auto_free char *path =
	    from->text[0] == '/' ? xstrdup(from->text) : path_join(project->root, from->text);
	if (read_dotenv(path, from->text, own, err) == 0)
		return 0;
	if (strncmp(err->text, from->text, strlen(from->text)) == 0 && err->code == ERR_INVALID)
		return -1; /* it names the place in that file */
	return err_wrap(err, "%s:%u:%u: env_from", project->config.file, from->line, from->column);
}

/* env_from and env: values see the environment before them, not each other. */
static int set_configured(const struct project *project, struct buf *notes, struct vars *vars,
			  struct err *err)
{
	const struct json *env = project->config.env;
	auto_vars struct vars own = {.count = 0};
	auto_vars struct vars expanded = {.count = 0};

	if (take_env_from(project, notes, &own, err) < 0)
		return -1;
	for (size_t i = 0; env && i < env->count; i++)
		vars_set(&own, env->items[i]->name, config_text(env->items[i]));
	for (size_t i = 0; i < own.count; i++) {
		const struct var *var = &own.list[i];
		auto_free char *fixed = xasprintf("__DEVBOX_SET_%s", var->name);
		auto_free char *value = NULL;

		if (!vars_name_will_do(var->name)) {
			say_later(
			    notes,
			    "the variable \"%s\" is left out: names have letters, digits and '_'",
			    var->name);
			continue;
		}
		if (expand(var->value, vars, project->root, &value, err) < 0)
			return err_wrap(err, "the variable %s", var->name);
		if (!vars_get(vars, fixed))
			vars_set(&expanded, var->name, value);
	}
	for (size_t i = 0; i < expanded.count; i++)
		vars_set(vars, expanded.list[i].name, expanded.list[i].value);
	return 0;
}

static void set_path(const struct project *project, const struct vars *original, struct vars *vars)
{
	auto_free char *runx = project_local(project, "virtenv/runx/bin");
	auto_free char *path = pathlist_join(vars_value(vars, "PATH"), runx);

	pathlist_push(vars, original, project->path_key, path);
}

static int set_given(const struct compute *compute, struct vars *vars, struct err *err)
{
	auto_vars struct vars given = {.count = 0};

	if (compute->env_file && read_dotenv(compute->env_file, compute->env_file, &given, err) < 0)
		return err_wrap(err, "--env-file");
	for (size_t i = 0; i < compute->given_count; i++) {
		const char *equals = strchr(compute->given[i], '=');

		if (!equals || equals == compute->given[i])
			return err_set(err, ERR_USAGE, "-e wants NAME=VALUE, not \"%s\"",
				       compute->given[i]);
		auto_free char *name =
		    xstrndup(compute->given[i], (size_t)(equals - compute->given[i]));
		vars_set(&given, name, equals + 1);
	}
	for (size_t i = 0; i < given.count; i++) {
		if (!vars_name_will_do(given.list[i].name))
			return err_set(err, ERR_USAGE, "\"%s\" is no name of a variable",
				       given.list[i].name);
		vars_set(vars, given.list[i].name, given.list[i].value);
	}
	return 0;
}

int compute_environment(const struct project *project, const struct compute *compute,
			struct buf *notes, struct vars *ret_vars, struct err *err)
{
	auto_vars struct vars vars = {.count = 0};
	auto_vars struct vars original = {.count = 0};
	const char *data_dirs = getenv("XDG_DATA_DIRS");

	take_current(project, compute->pure, &vars);
	for (size_t i = 0; i < vars.count; i++)
		vars_set(&original, vars.list[i].name, vars.list[i].value);
	if (set_helpers(project, compute, &vars, err) < 0 ||
	    set_configured(project, notes, &vars, err) < 0)
		return -1;
	set_path(project, &original, &vars);
	if (!compute->pure) {
		auto_free char *dirs =
		    pathlist_join(vars_value(&vars, "XDG_DATA_DIRS"), data_dirs ? data_dirs : "");

		vars_set(&vars, "XDG_DATA_DIRS", dirs);
	}
	if (set_given(compute, &vars, err) < 0)
		return -1;
	*ret_vars = vars;
	vars = (struct vars){.count = 0};
	return 0;
}

bool compute_is_active(const struct project *project)
{
	auto_vars struct vars current = {.count = 0};

	vars_from_environ(&current, environ);
	return pathlist_has(&current, project->path_key);
}
