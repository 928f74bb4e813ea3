/*
 * Makes a VM for the project. The heavy work (packages, disks) is done by the program dxvm-image, a
 * child that tells on a pipe what it does; this file is the face of it. While it works we hold the
 * lock of the VM, so that nobody starts it half made.
 */
#include "cli/install.h"

#include "base/mem.h"
#include "base/path.h"
#include "base/spawn.h"
#include "cli/ask.h"
#include "cli/image_progress.h"
#include "project/data_dir.h"
#include "project/identity.h"
#include "project/live.h"
#include "project/registry.h"
#include "project/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

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
		      enum progress_mode mode, struct err *err)
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
	progress_init(&progress, mode);
	status = image_progress_follow(from_child, pid, &progress, err);
	progress_done(&progress);
	return status;
}

int install_vm(const struct project *project, const struct kind *kind, bool force,
	       enum progress_mode mode, struct err *err)
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
	    (kind->has_machine && make_image(kind, project, force, mode, err) < 0) ||
	    identity_new(data_dir, &identity, err) < 0 ||
	    registry_add(project->data_dir, data_dir, &identity, err) < 0)
		return -1;
	return settings_write_missing(data_dir, kind, err);
}

static void print_kinds(const struct project *project)
{
	(void)fprintf(stderr, "dxvm: %s has no VM yet. It can have:\n",
		      project->shared ? "this project" : "this directory");
	for (size_t i = 0; i < kind_count; i++)
		if (kinds[i].summary)
			(void)fprintf(stderr, "  %-8s%s\n", kinds[i].name, kinds[i].summary);
	(void)fprintf(stderr, "  %-8s%s\n", "nixos", "not in this version");
}

int install_offer(const struct project *project, enum progress_mode mode, struct err *err)
{
	auto_close int data_dir = -1;

	if (data_dir_open_unknown(project, &data_dir, err) == 0 || err->code != ERR_NOT_FOUND ||
	    !ask_possible())
		return 0; /* there is one, or whoever needs it says what is wrong */
	print_kinds(project);
	if (!ask_yes("Make a " INSTALL_DEFAULT_GUEST " VM now?", true))
		return err_set(err, ERR_CANCELLED, "nothing was made");
	return install_vm(project, kind_find(INSTALL_DEFAULT_GUEST), false, mode, err);
}
