#include "devbox/environment.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/fingerprint.h"
#include "base/mem.h"
#include "devbox/compute.h"
#include "devbox/genuine.h"
#include "devbox/nix.h"
#include "devbox/packages.h"
#include "devbox/quote.h"
#include "devbox/run.h"
#include "devbox/say.h"
#include "devbox/scripts.h"
#include "devbox/shell.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

extern char **environ;

#define SAID	    "gen/dxvm-said"
#define EXPORTS_MAX ((size_t)8 << 20)

/* What is missing is said at each shell; before a script only when it is news. */
static int say_news(const struct options *options, const struct project *project,
		    const struct buf *notes, struct err *err)
{
	auto_free char *path = project_local(project, SAID);
	auto_free char *old = NULL;
	struct err ignored = ERR_INIT;
	size_t length = 0;
	bool news;

	(void)file_read(AT_FDCWD, path, SAY_NOTES_MAX, &old, &length, &ignored);
	news = length != buf_length(notes) ||
	       (length > 0 && memcmp(old, buf_data(notes), length) != 0);
	if (news || options->verb == VERB_SHELL)
		say_notes(notes);
	return news ? file_write_atomic(AT_FDCWD, path, buf_data(notes), buf_length(notes), 0644,
					err)
		    : 0;
}

/* Two that enter at once take turns with the files of .devbox. */
static int take_turn(const struct project *project, int *ret_lock, struct err *err)
{
	auto_close int dir = -1;

	return project_local_dir(project, "gen", &dir, err) < 0
		   ? -1
		   : file_lock(dir, "dxvm-lock", true, ret_lock, err);
}

/* Packages into the guest, files into .devbox, variables into `vars`. */
static int prepare(const struct options *options, const struct project *project, struct vars *vars,
		   struct err *err)
{
	auto_packages struct packages packages = {.count = 0};
	auto_free char *package_path = NULL;
	auto_close int lock = -1;
	auto_buf struct buf notes;
	struct compute compute = {
	    .pure = options->pure,
	    .env_file = options->env_file,
	    .given = options->given,
	    .given_count = options->given_count,
	};

	buf_init(&notes, SAY_NOTES_MAX);
	if (take_turn(project, &lock, err) < 0 || scripts_write(project, err) < 0 ||
	    packages_resolve(project, &notes, &packages, err) < 0 ||
	    nix_install(project, &packages, &package_path, err) < 0)
		return -1;
	compute.package_path = package_path;
	if (compute_environment(project, &compute, &notes, vars, err) < 0)
		return -1;
	fingerprint_leave(project->fingerprint);
	return say_news(options, project, &notes, err);
}

static int print_env(const struct vars *vars, bool for_fish, struct err *err)
{
	auto_buf struct buf buf;

	buf_init(&buf, EXPORTS_MAX);
	if (quote_exports(&buf, vars, for_fish) < 0)
		return err_set(err, ERR_INVALID, "the environment is more than %zu bytes",
			       EXPORTS_MAX);
	return file_write_all(STDOUT_FILENO, buf_data(&buf), buf_length(&buf), err);
}

static int open_shell(const struct options *options, const struct project *project, struct err *err)
{
	auto_vars struct vars vars = {.count = 0};

	if (!options->print_env && vars_says_yes(getenv("DEVBOX_SHELL_ENABLED")))
		return err_set(err, ERR_USAGE,
			       "You are already in an active devbox shell. Run `exit` before "
			       "calling `devbox shell` again. Shell inception is not supported.");
	if (prepare(options, project, &vars, err) < 0)
		return -1;
	if (options->print_env)
		return print_env(&vars, options->for_fish, err);
	vars_set(&vars, "DEVBOX_SHELL_ENABLED", "1");
	return shell_become(project, &vars, err);
}

static int rewrite_scripts(const struct project *project, struct err *err)
{
	auto_close int lock = -1;

	return take_turn(project, &lock, err) < 0 ? -1 : scripts_write(project, err);
}

static int run_command(const struct options *options, const struct project *project,
		       struct err *err)
{
	const bool active = compute_is_active(project);
	auto_vars struct vars vars = {.count = 0};

	if (options->list || !options->words[0]) {
		run_list(project);
		return 0;
	}
	/* Inside the environment nothing is computed again; scripts may be new. */
	if (active)
		vars_from_environ(&vars, environ);
	if ((active ? rewrite_scripts(project, err) : prepare(options, project, &vars, err)) < 0)
		return -1;
	vars_set(&vars, "DEVBOX_SHELL_ENABLED", "1");
	return run_become(project, &vars, active, options->words, err);
}

int environment_run(const struct options *options, struct err *err)
{
	auto_project struct project project = {.root = NULL};
	auto_free char *root = NULL;

	if (options->verb == VERB_VERSION) {
		(void)puts("dxvm-devbox " DXVM_VERSION);
		return 0;
	}
	if (project_root(options->project, &root, err) < 0) {
		if (err->code != ERR_NOT_FOUND || !options->enter || options->verb != VERB_SHELL ||
		    options->print_env)
			return -1;
		say("no " CONFIG_NAME " here: a plain shell");
		err->code = ERR_NONE;
		return shell_become_plain(err);
	}
	/* The real one knows better. */
	if (options->enter)
		genuine_become(options, root);
	if (options->verb == VERB_SERVICES)
		return err_set(err, ERR_UNSUPPORTED,
			       "services need devbox itself, which this guest does not have");
	if (project_open(options->project, &project, err) < 0)
		return -1;
	switch (options->verb) {
	case VERB_SHELL:
		return open_shell(options, &project, err);
	case VERB_RUN:
		return run_command(options, &project, err);
	case VERB_PACKAGES:
		return packages_print(&project, err);
	case VERB_SERVICES:
	case VERB_VERSION:
		break;
	}
	return 0;
}
