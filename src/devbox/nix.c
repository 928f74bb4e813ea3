/*
 * Theory of operation. The stamp, .devbox/nix/dxvm-paths, has the paths that were asked for when
 * the profile was last made, after a first line that says how that went ("profile", or "list" when
 * the packages collide). While it equals what is asked for now and all paths are there, nothing is
 * run. Paths that could not be had are not in it, so the next entry tries again.
 *
 * The roots in .devbox/nix/roots keep nix-collect-garbage from taking what a list uses.
 */
#include "devbox/nix.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/spawn.h"
#include "devbox/say.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#define STAMP	  "dxvm-paths"
#define STAMP_MAX ((size_t)8 << 20)
#define WORDS_MAX 16 /* besides the paths */

struct words {
	const char **list;
	size_t count;
};

static void add_word(struct words *words, const char *word)
{
	words->list[words->count++] = word;
}

/* Runs it with its output on standard error, or nowhere. True: it succeeded. */
static bool run(const struct words *words, bool quiet)
{
	const struct spawn_fd fds[] = {{STDERR_FILENO, STDOUT_FILENO},
				       {STDERR_FILENO, STDERR_FILENO}};
	const struct spawn spawn = {
	    .program = words->list[0],
	    .arguments = (char *const *)(uintptr_t)words->list,
	    .fds = fds,
	    .fd_count = quiet ? 0 : ARRAY_SIZE(fds),
	};
	struct err err = ERR_INIT;
	pid_t pid = spawn_start(&spawn, &err);
	int status = 0;

	if (pid < 0) {
		say("%s", err.text);
		return false;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Those of `paths` that are there; the others are fetched first, all at once, else one by one so
 * that one bad path costs only itself. */
static void realise(const char *program, const char *root, struct packages *packages)
{
	struct words words = {.list = xcalloc(packages->count + WORDS_MAX, sizeof(char *))};
	bool there = true;
	size_t fixed;
	size_t kept = 0;

	add_word(&words, program);
	add_word(&words, "--realise");
	add_word(&words, "--add-root");
	add_word(&words, root);
	fixed = words.count;
	for (size_t i = 0; i < packages->count; i++) {
		add_word(&words, packages->paths[i]);
		there = there && is_there(packages->paths[i]);
	}
	if (!there)
		say("installing the packages of " CONFIG_NAME);
	/* A single one has been tried then; quietly, where it was believed to be there. */
	if (!run(&words, there) && (there || packages->count > 1)) {
		for (size_t i = 0; i < packages->count; i++) {
			auto_free char *own_root = xasprintf("%s-%zu", root, i + 1);

			words.list[3] = own_root;
			words.list[fixed] = packages->paths[i];
			words.list[fixed + 1] = NULL;
			(void)run(&words, false);
		}
	}
	for (size_t i = 0; i < packages->count; i++) {
		if (!is_there(packages->paths[i])) {
			say("%s: could not be installed", packages->owners[i]);
			continue;
		}
		packages->paths[kept] = packages->paths[i];
		packages->owners[kept++] = packages->owners[i];
	}
	packages->count = kept;
	free(words.list);
}

/* The links in a directory; what else is there stays. */
static void remove_links(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char target[2];

		if (readlinkat(dirfd(dir), entry->d_name, target, sizeof(target)) >= 0)
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (dir)
		(void)closedir(dir);
}

static bool make_profile(const char *program, const char *profile, const struct packages *packages)
{
	struct words words = {.list = xcalloc(packages->count + WORDS_MAX, sizeof(char *))};
	bool made;

	add_word(&words, program);
	add_word(&words, "--extra-experimental-features");
	add_word(&words, "nix-command flakes");
	add_word(&words, "profile");
	add_word(&words, "install");
	add_word(&words, "--profile");
	add_word(&words, profile);
	add_word(&words, "--offline");
	add_word(&words, "--impure");
	for (size_t i = 0; i < packages->count; i++)
		add_word(&words, packages->paths[i]);
	made = run(&words, true);
	free(words.list);
	return made;
}

static char *list_path(const struct packages *packages)
{
	auto_buf struct buf buf;

	buf_init(&buf, STAMP_MAX);
	for (size_t i = 0; i < packages->count; i++)
		(void)buf_printf(&buf, "%s%s/bin", i > 0 ? ":" : "", packages->paths[i]);
	return buf_take_string(&buf);
}

static char *stamp_text(const struct packages *packages, bool profile)
{
	auto_buf struct buf buf;

	buf_init(&buf, STAMP_MAX);
	(void)buf_append_string(&buf, profile ? "profile\n" : "list\n");
	for (size_t i = 0; i < packages->count; i++)
		(void)buf_printf(&buf, "%s\n", packages->paths[i]);
	return buf_take_string(&buf);
}

/* 1: a profile is as it should be; 0: a list; -1: something has to be done. */
static int current(int dir, const char *profile, const struct packages *packages)
{
	auto_free char *text = NULL;
	struct err ignored = ERR_INIT;
	bool is_profile;

	if (file_read(dir, STAMP, STAMP_MAX, &text, NULL, &ignored) < 0)
		return -1;
	is_profile = strncmp(text, "profile\n", strlen("profile\n")) == 0;
	auto_free char *wanted = stamp_text(packages, is_profile);
	if (strcmp(text, wanted) != 0 || (is_profile && packages->count > 0 && !is_there(profile)))
		return -1;
	for (size_t i = 0; i < packages->count; i++)
		if (!is_there(packages->paths[i]))
			return -1;
	return is_profile;
}

/* Anew: what devbox.json lost is gone from the profile too. */
static bool renew(const struct project *project, struct packages *packages)
{
	auto_free char *nix = project_find_program("nix");
	auto_free char *store = project_find_program("nix-store");
	auto_free char *roots = project_local(project, "nix/roots");
	auto_free char *root = path_join(roots, "path");
	auto_free char *profiles = project_local(project, "nix/profile");
	auto_free char *profile = path_join(profiles, "default");
	struct err err = ERR_INIT;

	if (file_mkdirs(roots, 0755, &err) < 0 || file_mkdirs(profiles, 0755, &err) < 0) {
		say("%s", err.text);
		return false;
	}
	remove_links(roots);
	remove_links(profiles);
	if (packages->count == 0)
		return true;
	if (!store) {
		for (size_t i = 0; i < packages->count; i++)
			say("%s: there is no nix here to install it with", packages->owners[i]);
		packages->count = 0;
		return false;
	}
	realise(store, root, packages);
	return packages->count == 0 || (nix && make_profile(nix, profile, packages));
}

static int install(const struct project *project, struct packages *packages, int dir,
		   char **ret_path, struct err *err)
{
	auto_free char *profile = project_local(project, "nix/profile/default");
	int state = current(dir, profile, packages);

	if (state < 0) {
		const size_t wanted = packages->count;

		state = renew(project, packages);
		if (packages->count == wanted) {
			auto_free char *text = stamp_text(packages, state);

			if (file_write_atomic(dir, STAMP, text, strlen(text), 0644, err) < 0)
				return -1;
		}
	}
	*ret_path = state ? xstrdup("") : list_path(packages);
	return 0;
}

int nix_install(const struct project *project, const struct packages *packages, char **ret_path,
		struct err *err)
{
	auto_packages struct packages left = {.count = packages->count};
	auto_close int dir = -1;

	if (project_local_dir(project, "nix", &dir, err) < 0)
		return -1;
	left.paths = xmemdup(packages->paths, packages->count * sizeof(*left.paths));
	left.owners = xmemdup(packages->owners, packages->count * sizeof(*left.owners));
	return install(project, &left, dir, ret_path, err);
}
