/*
 * Makes a VM for the project. The heavy work (packages, disks) is done by the program dxvm-image, a
 * child that tells on a pipe what it does; this file is the face of it. While it works we hold the
 * lock of the VM, so that nobody starts it half made.
 */
#include "base/mem.h"
#include "base/path.h"
#include "base/spawn.h"
#include "cli/command.h"
#include "cli/image_progress.h"
#include "cli/progress.h"
#include "project/data_dir.h"
#include "project/identity.h"
#include "project/kind.h"
#include "project/live.h"
#include "project/registry.h"
#include "project/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define DEFAULT_GUEST "debian"

static const struct option install_options[] = {
    {.name = "guest", .argument = "KIND", .summary = "what to install: debian"},
    {.name = "force", .letter = 'f', .summary = "replace a VM that is there; its disk is lost"},
    {0},
};

static int choose_kind(const struct invocation *invocation, const struct kind **ret_kind,
		       struct err *err)
{
	const char *name = options_value(&invocation->options, "guest");

	if (!name)
		name = DEFAULT_GUEST;
	*ret_kind = kind_find(name);
	if (*ret_kind)
		return 0;
	if (strcmp(name, "nixos") == 0)
		return err_set(
		    err, ERR_UNSUPPORTED,
		    "--guest nixos: this version cannot install NixOS yet; --guest debian "
		    "works");
	return err_set(err, ERR_USAGE, "--guest %s: unknown kind of guest; there is: debian", name);
}

/* What is here is no VM from now on, until the new one is complete. */
static int forget_old(int data_dir, struct err *err)
{
	struct identity old;

	if (unlinkat(data_dir, "guest", 0) < 0 && errno != ENOENT)
		return err_sys(err, "guest");
	return identity_load(data_dir, &old, err) < 0 ? 0 : registry_remove(old.hex, err);
}

static int refuse_existing(int data_dir, bool force, const struct project *project, struct err *err)
{
	struct stat st;

	if (force)
		return forget_old(data_dir, err);
	if (fstatat(data_dir, "guest", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(
		    err, ERR_EXISTS,
		    "%s has a VM already; --force replaces it, and what is on its disk is "
		    "lost",
		    project->root);
	return 0;
}

/* Runs dxvm-image and shows what it says. */
static int make_image(const struct kind *kind, const struct project *project, bool force,
		      bool quiet, struct err *err)
{
	auto_free char *program = path_program("image", "dxvm-image", err);
	auto_free char *state = program ? path_state_dir(err) : NULL;
	auto_free char *name = xstrdup(kind->name);
	struct progress progress;
	int ends[2];
	int status;

	if (!state)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, "pipe");
	auto_close int from_child = ends[0];
	auto_close int theirs = ends[1];
	char *const argv[] = {program,
			      (char[]){"install"},
			      (char[]){"--guest"},
			      name,
			      (char[]){"--state"},
			      state,
			      (char[]){"--data"},
			      project->data_dir,
			      force ? (char[]){"--force"} : NULL,
			      NULL};
	const struct spawn_fd fds[] = {{theirs, STDOUT_FILENO}, {STDERR_FILENO, STDERR_FILENO}};
	const struct spawn spawn = {
	    .program = program,
	    .arguments = argv,
	    .fds = fds,
	    .fd_count = ARRAY_SIZE(fds),
	    .die_with_parent = true,
	};
	pid_t pid = spawn_start(&spawn, err);
	if (pid < 0)
		return -1;
	(void)close(take_fd(&theirs));
	progress_init(&progress, quiet);
	status = image_progress_follow(from_child, pid, &progress, err);
	progress_done(&progress);
	return status;
}

static int install(const struct project *project, const struct kind *kind, bool force, bool quiet,
		   struct err *err)
{
	auto_close int data_dir = -1;
	auto_close int lock = -1;
	struct identity identity;

	if (data_dir_make(project, &data_dir, err) < 0)
		return -1;
	if (live_take(data_dir, &lock, err) < 0)
		return err->code == ERR_BUSY
			   ? err_set(err, ERR_BUSY,
				     "the VM of %s is running or being made; stop it with "
				     "`dxvm stop` first",
				     project->root)
			   : -1;
	if (refuse_existing(data_dir, force, project, err) < 0 ||
	    (kind->has_machine && make_image(kind, project, force, quiet, err) < 0) ||
	    identity_new(data_dir, &identity, err) < 0 ||
	    registry_add(project->data_dir, data_dir, &identity, err) < 0)
		return -1;
	return settings_write_missing(data_dir, kind, err);
}

static int run(const struct invocation *invocation, struct err *err)
{
	bool quiet = options_flag(&invocation->options, "quiet");
	auto_project struct project project = {0};
	const struct kind *kind;
	struct progress progress;

	if (choose_kind(invocation, &kind, err) < 0 ||
	    command_project(invocation, &project, err) < 0 ||
	    install(&project, kind, options_flag(&invocation->options, "force"), quiet, err) < 0)
		return -1;
	if (options_flag(&invocation->options, "install"))
		return cmd_shell.run(invocation, err);
	progress_init(&progress, quiet);
	progress_note(&progress, "the VM is made; `dxvm` opens a shell in it");
	progress_done(&progress);
	return 0;
}

const struct command cmd_install = {
    .name = "install",
    .arguments = "",
    .summary = "make a VM for the project (-install makes it and opens a shell)",
    .options = install_options,
    .run = run,
};
