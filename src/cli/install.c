/*
 * Makes a VM for the project. The heavy work (packages, disks) is done by the program dxvm-image, a
 * child that tells on a pipe what it does; this file is the face of it. While it works we hold the
 * lock of the VM, so that nobody starts it half made.
 */
#include "cli/install.h"

#include "base/file.h"
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
#include "project/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define IMAGE_WORDS_MAX 16

static bool has_vm(int data_dir)
{
	struct stat st;

	return fstatat(data_dir, "guest", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A VM that is there stays until all is at hand that the new one is made of. */
static int check_way(int data_dir, const struct install_options *options,
		     const struct project *project, struct err *err)
{
	return !has_vm(data_dir) || options->force
		   ? 0
		   : err_set(err, ERR_EXISTS,
			     "%s has a VM already; --force replaces it, and what is on its disk is "
			     "lost",
			     project->root);
}

static int make_known(const struct project *project, int data_dir, struct err *err)
{
	struct identity identity;

	return identity_new(data_dir, &identity, err) < 0
		   ? -1
		   : registry_add(project->data_dir, data_dir, &identity, err);
}

/* Runs a program that tells what it does, and shows that. */
static int run_and_show(char *const *argv, enum progress_mode mode, struct err *err)
{
	struct progress progress;
	int ends[2];
	int status;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, "pipe");
	auto_close int from_child = ends[0];
	auto_close int theirs = ends[1];
	const struct spawn_fd fds[] = {{theirs, STDOUT_FILENO}, {STDERR_FILENO, STDERR_FILENO}};
	const struct spawn spawn = {
	    .program = argv[0],
	    .arguments = argv,
	    .fds = fds,
	    .fd_count = ARRAY_SIZE(fds),
	    .die_with_parent = true,
	};
	pid_t pid = spawn_start(&spawn, err);
	if (pid < 0)
		return -1;
	close_fd(&theirs);
	progress_init(&progress, mode);
	status = image_progress_follow(from_child, pid, &progress, err);
	progress_done(&progress);
	return status;
}

static char *word(const char *text)
{
	return (char *)(uintptr_t)text;
}

static int make_image(const struct project *project, const struct install_options *options,
		      bool replace, enum progress_mode mode, struct err *err)
{
	auto_free char *program = path_program("image", "dxvm-image", err);
	auto_free char *state = program ? path_state_dir(err) : NULL;
	char *argv[IMAGE_WORDS_MAX] = {
	    program,	     word("install"), word("--guest"), word(options->kind->name),
	    word("--state"), state,	      word("--data"),  project->data_dir};
	size_t count = 8;

	if (!state)
		return -1;
	if (replace)
		argv[count++] = word("--force");
	if (options->offline)
		argv[count++] = word("--offline");
	if (options->release) {
		argv[count++] = word("--release");
		argv[count++] = word(options->release);
	}
	if (options->iso) {
		argv[count++] = word("--iso");
		argv[count++] = word(options->iso);
	}
	return run_and_show(argv, mode, err);
}

/* A guest that boots itself has an installer, which dxvm-image has made ready. */
static int run_installer(const struct project *project, enum progress_mode mode, struct err *err)
{
	auto_free char *self = path_self(err);
	char *argv[] = {self, word(LIVE_INSTALL_COMMAND), project->root, project->data_dir, NULL};

	return self ? run_and_show(argv, mode, err) : -1;
}

/* It is made known before there is much of it: who finds a part of it later knows whose it is. */
static int make_vm(const struct project *project, const struct install_options *options,
		   int data_dir, enum progress_mode mode, struct err *err)
{
	const struct kind *kind = options->kind;

	if (check_way(data_dir, options, project, err) < 0)
		return -1;
	bool another = has_vm(data_dir);
	bool remains = !another && registry_has(project->data_dir, data_dir);
	if ((!another && make_known(project, data_dir, err) < 0) ||
	    (kind->has_machine &&
	     make_image(project, options, options->force || remains, mode, err) < 0) ||
	    (kind->boots_itself && run_installer(project, mode, err) < 0) ||
	    (another && make_known(project, data_dir, err) < 0))
		return -1;
	return settings_write_missing(data_dir, kind, err);
}

static int fetch_devbox(enum progress_mode mode, struct err *err)
{
	auto_close int dir = -1;
	bool there;

	if (tools_open(&dir, err) < 0 || tools_take_devbox(dir, &there, err) < 0)
		return -1;
	if (there)
		return 0;
	auto_free char *program = path_program("image", "dxvm-image", err);
	auto_free char *state = program ? path_state_dir(err) : NULL;
	char *argv[] = {program, word("devbox"), word("--state"), state, NULL};
	return state ? run_and_show(argv, mode, err) : -1;
}

/* The VM does without it. -1 only when the user wants no more of all this. */
static int get_devbox(enum progress_mode mode, struct err *ret_err)
{
	struct err err = ERR_INIT;
	struct progress progress;

	if (fetch_devbox(mode, &err) == 0)
		return 0;
	if (err.code == ERR_CANCELLED)
		return err_set(ret_err, ERR_CANCELLED, "the VM is made, without devbox: %s",
			       err.text);
	auto_free char *text = xasprintf("no devbox for the VM (%s); dxvm makes the environment of "
					 "devbox.json without it",
					 err.text);
	progress_init(&progress, mode);
	progress_note(&progress, text);
	progress_done(&progress);
	return 0;
}

int install_vm(const struct project *project, const struct install_options *options,
	       enum progress_mode mode, struct err *err)
{
	auto_close int data_dir = -1;
	auto_close int lock = -1;

	if (data_dir_make(project, &data_dir, err) < 0)
		return -1;
	if (live_take_stopped(project, data_dir, &lock, err) < 0)
		return -1;
	if (make_vm(project, options, data_dir, mode, err) == 0) {
		return project->shared && options->kind->takes_tools && tools_wanted()
			   ? get_devbox(mode, err)
			   : 0;
	}
	return err->code == ERR_SYSTEM ? err_wrap(err, "make the VM in %s", project->data_dir) : -1;
}

static void print_kinds(const struct project *project)
{
	(void)fprintf(stderr, "dxvm: %s has no VM yet. It can have:\n",
		      project->shared ? "this project" : "this directory");
	for (size_t i = 0; i < kind_count; i++)
		if (kinds[i].summary)
			(void)fprintf(stderr, "  %-8s%s\n", kinds[i].name, kinds[i].summary);
}

/* *ret_kind: NULL when the answer is none. */
static int choose_kind(const struct kind **ret_kind, struct err *err)
{
	auto_free char *answer =
	    ask_line("Which one is to be made now? [" INSTALL_DEFAULT_GUEST ", or none]");
	const struct kind *kind = NULL;

	*ret_kind = NULL;
	if (!answer || strcmp(answer, "none") == 0 || strcmp(answer, "n") == 0 ||
	    strcmp(answer, "no") == 0)
		return 0;
	kind = kind_find(*answer ? answer : INSTALL_DEFAULT_GUEST);
	if (!kind || !kind->summary)
		return err_set(err, ERR_USAGE, "\"%s\" is none of these; nothing was made", answer);
	*ret_kind = kind;
	return 0;
}

int install_offer(const struct project *project, enum progress_mode mode, struct err *err)
{
	auto_close int data_dir = -1;
	struct install_options options = {.kind = NULL};

	if (data_dir_open_unknown(project, &data_dir, err) == 0 || err->code != ERR_NOT_FOUND ||
	    !ask_possible())
		return 0; /* there is one, or whoever needs it says what is wrong */
	print_kinds(project);
	if (choose_kind(&options.kind, err) < 0)
		return -1;
	if (!options.kind)
		return err_set(err, ERR_CANCELLED, "nothing was made");
	return install_vm(project, &options, mode, err);
}
