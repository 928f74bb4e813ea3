#include "devbox/project.h"

#include "base/file.h"
#include "base/fingerprint.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

static bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* A directory of that name is passed over. */
static char *search_upwards(struct err *err)
{
	auto_free char *dir = realpath(".", NULL);

	if (!dir) {
		(void)err_sys(err, "current directory");
		return NULL;
	}
	for (;;) {
		auto_free char *file = path_join(dir, CONFIG_NAME);
		char *slash = strrchr(dir, '/');

		if (is_file(file))
			return take_ptr(&file);
		if (dir[1] == '\0')
			break;
		slash[slash == dir ? 1 : 0] = '\0';
	}
	(void)err_set(err, ERR_NOT_FOUND,
		      "no " CONFIG_NAME " found in the current directory (or any parent "
		      "directories). Did you run `devbox init` yet?");
	return NULL;
}

static char *find_config(const char *where, struct err *err)
{
	auto_free char *file = NULL;

	if (!where || !*where)
		return search_upwards(err);
	file = is_file(where) ? xstrdup(where) : path_join(where, CONFIG_NAME);
	if (is_file(file))
		return take_ptr(&file);
	(void)err_set(err, ERR_NOT_FOUND, "no " CONFIG_NAME " found at %s", where);
	return NULL;
}

/* The directory a file is in, as an absolute path. */
static char *directory_of(const char *file)
{
	auto_free char *dir = xstrdup(file);
	char *slash = strrchr(dir, '/');

	if (!slash)
		return realpath(".", NULL);
	slash[slash == dir ? 1 : 0] = '\0';
	return realpath(dir, NULL);
}

static char *config_file(const char *where, struct err *err)
{
	return find_config(where ? where : getenv("DEVBOX_CONFIG"), err);
}

int project_root(const char *where, char **ret_root, struct err *err)
{
	auto_free char *file = config_file(where, err);
	char *root = file ? directory_of(file) : NULL;

	if (file && !root)
		return err_sys(err, "%s", file);
	if (!root)
		return -1;
	*ret_root = root;
	return 0;
}

static char *system_name(void)
{
	struct utsname names;

	if (uname(&names) < 0)
		return xstrdup("unknown-linux");
	return xasprintf("%s-linux", names.machine);
}

int project_open(const char *where, struct project *ret_project, struct err *err)
{
	struct project project = {.root = NULL};
	auto_free char *file = config_file(where, err);
	char hash[SHA256_HEX];

	if (!file)
		return -1;
	project.root = directory_of(file);
	if (!project.root)
		return err_sys(err, "%s", file);
	project.fingerprint = fingerprint_project(project.root);
	auto_free char *lock = path_join(project.root, LOCK_NAME);
	if (config_load(file, path_base(file), &project.config, err) < 0 ||
	    lock_load(lock, LOCK_NAME, &project.lock, err) < 0) {
		project_done(&project);
		return -1;
	}
	sha256_hex(project.root, strlen(project.root), hash);
	project.system = system_name();
	project.path_key = xasprintf("DEVBOX_NIX_ENV_PATH_%s", hash);
	project.skip_hook = xasprintf("__DEVBOX_SKIP_INIT_HOOK_%s", hash);
	project.refresh = xasprintf("DEVBOX_REFRESH_ALIAS_%s", hash);
	*ret_project = project;
	return 0;
}

void project_done(struct project *project)
{
	config_done(&project->config);
	lock_done(&project->lock);
	free(project->root);
	free(project->system);
	free(project->path_key);
	free(project->skip_hook);
	free(project->refresh);
	*project = (struct project){.root = NULL};
}

char *project_local(const struct project *project, const char *name)
{
	return xasprintf("%s/.devbox/%s", project->root, name);
}

int project_local_dir(const struct project *project, const char *name, int *ret_dir,
		      struct err *err)
{
	auto_free char *path = project_local(project, name);
	auto_close int dir = -1;

	if (file_mkdirs(path, 0755, err) < 0)
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(err, "%s", path);
	*ret_dir = take_fd(&dir);
	return 0;
}

char *project_find_program(const char *name)
{
	const char *path = getenv("PATH");
	const char *home = getenv("HOME");
	auto_free char *all = xasprintf("%s:%s/.nix-profile/bin:/nix/var/nix/profiles/default/bin",
					path ? path : "", home ? home : "");

	for (const char *at = all; *at; at += *at == ':') {
		size_t length = strcspn(at, ":");
		auto_free char *dir = xstrndup(at, length);
		auto_free char *file = path_join(dir, name);

		at += length;
		if (dir[0] == '/' && is_file(file) && access(file, X_OK) == 0)
			return take_ptr(&file);
	}
	return NULL;
}
