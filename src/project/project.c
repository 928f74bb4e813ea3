#include "project/project.h"

#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIG_NAME    "devbox.json"
#define USUAL_DATA_DIR ".devbox/vm"
#define PLAIN_DATA_DIR "dxvm"
#define GUEST_NAME_MAX 100 /* bytes of ~/devbox/<name>; a path component allows 255 */

static bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Walks from the current directory to "/". A directory named devbox.json is passed over. *ret_root
 * is NULL when there is none. */
static int search_upwards(char **ret_root, struct err *err)
{
	auto_free char *dir = realpath(".", NULL);

	if (!dir)
		return err_sys(err, "current directory");
	for (;;) {
		auto_free char *config = path_join(dir, CONFIG_NAME);
		char *slash = strrchr(dir, '/');

		if (is_file(config)) {
			*ret_root = take_ptr(&dir);
			return 0;
		}
		if (dir[1] == '\0')
			break;
		slash[slash == dir ? 1 : 0] = '\0';
	}
	*ret_root = NULL;
	return 0;
}

static int from_config(const char *config, char **ret_root, struct err *err)
{
	const char *name = path_base(config);
	auto_free char *dir = xstrdup(config);
	struct stat st;

	if (stat(config, &st) < 0) {
		(void)err_sys(err, "%s", config);
		if (errno == ENOENT)
			err->code = ERR_NOT_FOUND;
		return -1;
	}
	if (!S_ISDIR(st.st_mode)) {
		if (strcmp(name, CONFIG_NAME) != 0)
			return err_set(err, ERR_INVALID,
				       "%s: a project is described by a file named " CONFIG_NAME
				       ", or named by its directory",
				       config);
		/* It may be a link; the project is where that lies. */
		free(dir);
		dir = name == config ? xstrdup(".") : xstrndup(config, (size_t)(name - config));
	}
	*ret_root = realpath(dir, NULL);
	if (!*ret_root)
		return err_sys(err, "%s", config);
	auto_free char *file = path_join(*ret_root, CONFIG_NAME);
	return is_file(file) ? 0 : err_set(err, ERR_NOT_FOUND, "no devbox.json in %s", config);
}

bool project_would_share(const char *path, const char *own, bool also_inside)
{
	auto_free char *real = own ? realpath(own, NULL) : NULL;
	const char *place = real ? real : own;

	return place && (path_lies_in(place, path) || (also_inside && path_lies_in(path, place)));
}

int project_check(const struct project *project, struct err *err)
{
	const char *root = project->root;
	struct err ignored = ERR_INIT;
	auto_free char *home = path_home();
	auto_free char *state = path_state_dir(&ignored);
	auto_free char *runtime = path_runtime_dir();

	if (!project->shared)
		return 0;
	if (strcmp(root, "/") == 0)
		return err_set(
		    err, ERR_INVALID,
		    "the project is the root directory: sharing all of this machine with a "
		    "VM is refused; move devbox.json into a directory of its own");
	if (project_would_share(root, home, false))
		return err_set(
		    err, ERR_INVALID,
		    "the project is %.200s, which is or holds your home directory: sharing your "
		    "keys and settings with a VM is refused; move devbox.json into a directory of "
		    "its own",
		    root);
	if (project_would_share(root, state, true) || project_would_share(root, runtime, true))
		return err_set(
		    err, ERR_INVALID,
		    "the project is %.200s, which holds or lies in %.150s or %.150s: "
		    "sharing the files that VMs are made of is refused; move devbox.json "
		    "into a directory of its own",
		    root, state ? state : "", runtime);
	return 0;
}

/* The name in the guest is a path component there and stands in prompts: control characters become
 * '_', and what is too long is cut. */
static char *guest_name(const char *root)
{
	char *name = xstrndup(path_base(root), GUEST_NAME_MAX);

	for (char *c = name; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '_';
	return name;
}

void project_at(const char *root, const char *data_dir, struct project *ret_project)
{
	auto_free char *config = path_join(root, CONFIG_NAME);

	*ret_project = (struct project){
	    .root = xstrdup(root),
	    .name = guest_name(root),
	    .data_dir = xstrdup(data_dir),
	    .shared = is_file(config),
	};
}

int project_find(const char *config, const char *data_dir, struct project *ret_project,
		 struct err *err)
{
	auto_free char *cwd = realpath(".", NULL);
	auto_free char *root = NULL;
	auto_free char *data = NULL;
	const char *named = config ? config : getenv("DEVBOX_CONFIG");

	if (!cwd)
		return err_sys(err, "current directory");
	if (named && !named[0])
		named = NULL;
	if (named ? from_config(named, &root, err) : search_upwards(&root, err))
		return !named || config ? -1 : err_wrap(err, "DEVBOX_CONFIG");
	if (data_dir)
		data = data_dir[0] == '/' ? xstrdup(data_dir) : path_join(cwd, data_dir);
	else
		data = root ? path_join(root, USUAL_DATA_DIR) : path_join(cwd, PLAIN_DATA_DIR);
	project_at(root ? root : cwd, data, ret_project);
	return 0;
}

void project_done(struct project *project)
{
	free(project->root);
	free(project->name);
	free(project->data_dir);
	*project = (struct project){0};
}
