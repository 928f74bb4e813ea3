#include "project/data_dir.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/tree.h"
#include "project/registry.h"
#include "project/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* What dxvm puts there besides the settings. */
static const char *const vm_names[] = {
    ".gitignore", "CACHEDIR.TAG", "boot",  "boot.new",	  "bootstrap", "console",
    "disk.img",	  "generation",	  "guest", "id",	  "installer", "lock",
    "log",	  "orphans",	  "saved", "share.state", "shares"};

/* https://bford.info/cachedir/ : backup programs pass such a directory over. */
#define CACHEDIR_TAG                                                                               \
	"Signature: 8a477f597d28d172789f06886806bc55\n"                                            \
	"# Made by dxvm: a VM and what devbox built; both can be made again.\n"

static int no_vm(const struct project *project, struct err *err)
{
	if (!project->shared)
		return err_set(
		    err, ERR_NOT_FOUND,
		    "no devbox.json found in the current directory or any parent "
		    "directory; make one with `devbox init`, name one with -c, or make a "
		    "plain VM here with `dxvm install --guest debian`");
	return err_set(err, ERR_NOT_FOUND,
		       "%s has no VM yet; make one with `dxvm install --guest debian`",
		       project->root);
}

int data_dir_open_unknown(const struct project *project, int *ret_fd, struct err *err)
{
	auto_close int fd = -1;
	struct stat st;

	if (file_open_dir(AT_FDCWD, project->data_dir, &fd, err) < 0)
		return err->code == ERR_NOT_FOUND ? no_vm(project, err) : -1;
	if (fstatat(fd, "guest", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? no_vm(project, err) : err_sys(err, "guest");
	*ret_fd = take_fd(&fd);
	return 0;
}

int data_dir_open(const struct project *project, int *ret_fd, struct identity *ret_identity,
		  struct err *err)
{
	auto_close int fd = -1;
	struct identity identity;

	if (data_dir_open_unknown(project, &fd, err) < 0)
		return -1;
	if (identity_load(fd, &identity, err) < 0)
		return err_wrap(err, "%s", project->data_dir);
	if (registry_check(project->data_dir, fd, &identity, err) < 0)
		return -1;
	if (ret_identity)
		*ret_identity = identity;
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Made by root in somebody's project, .devbox is theirs: devbox of the host works in it. */
static int give_to_owner(int root, int devbox, struct err *err)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	if (fstat(root, &st) < 0 || fchown(devbox, st.st_uid, st.st_gid) < 0 ||
	    fchownat(devbox, ".gitignore", st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchownat(devbox, "CACHEDIR.TAG", st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, "owner of .devbox");
	return 0;
}

static bool is_among(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* What a person may have put there before an install; `guest` is one that says there is a VM. */
static bool is_setting(const char *name)
{
	struct err ignored = ERR_INIT;
	size_t i;

	return strcmp(name, "guest") != 0 && settings_find(name, &i, &ignored) == 0;
}

/* Also what it is called while it is written. */
static bool is_own(const char *name)
{
	size_t length = strlen(name);
	auto_free char *whole = xstrdup(name);

	if (length > strlen(FILE_PART) && strcmp(name + length - strlen(FILE_PART), FILE_PART) == 0)
		whole[length - strlen(FILE_PART)] = '\0';
	return is_setting(whole) || is_among(vm_names, ARRAY_SIZE(vm_names), whole);
}

/* Before there is a VM. A file system of its own may have lost+found. */
static bool may_be_there(const char *name)
{
	static const char *const names[] = {".",    "..",	  ".gitignore", "CACHEDIR.TAG",
					    "lock", "lost+found", "shares"};

	return is_setting(name) || is_among(names, ARRAY_SIZE(names), name);
}

/* In a directory of somebody's they are theirs, too. */
static int put_marks(int dir, bool all, struct err *err)
{
	struct stat st;

	if (faccessat(dir, ".gitignore", F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
		if (file_write_atomic(dir, ".gitignore", "*\n", 2, 0644, err) < 0)
			return -1;
		if (geteuid() == 0 &&
		    (fstat(dir, &st) < 0 ||
		     fchownat(dir, ".gitignore", st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0))
			return err_sys(err, "owner of .gitignore");
	}
	return all ? file_write_atomic(dir, "CACHEDIR.TAG", CACHEDIR_TAG, strlen(CACHEDIR_TAG),
				       0644, err)
		   : 0;
}

/* Makes <root>/.devbox. What is in it is the host's business, not to be committed or backed up. */
static int make_devbox(const struct project *project, int *ret_fd, struct err *err)
{
	auto_close int root = -1;
	auto_close int devbox = -1;
	bool new = false;

	if (file_open_dir(AT_FDCWD, project->root, &root, err) < 0)
		return -1;
	if (file_mkdir(root, ".devbox", 0755, &new, err) < 0 ||
	    file_open_dir(root, ".devbox", &devbox, err) < 0)
		return -1;
	if (put_marks(devbox, new, err) < 0 || (new &&give_to_owner(root, devbox, err) < 0))
		return -1;
	*ret_fd = take_fd(&devbox);
	return 0;
}

/* Somebody else's project, or one on a medium that takes no writes: the VM can be elsewhere. */
static void advise(struct err *err)
{
	const struct err why = *err;

	if (why.sys == EROFS || why.sys == EACCES || why.sys == EPERM)
		(void)err_set(err, ERR_SYSTEM, "%s; --datadir DIR keeps the VM outside the project",
			      why.text);
}

static void close_list(DIR **list)
{
	if (*list)
		(void)closedir(*list);
}

/* Where it may be anything, there may be anything in it: nothing is put among somebody's files, since
 * `rm` would have to tell them apart. */
static int check_strange(const char *path, int dir, struct err *err)
{
	CLEANUP(close_list) DIR *list = file_list(dir, ".");
	const struct dirent *entry;

	if (!list)
		return err_sys(err, "%s", path);
	while ((entry = readdir(list)))
		if (!may_be_there(entry->d_name))
			return err_set(err, ERR_EXISTS,
				       "%s has other files in it (%.60s): a VM is kept in a "
				       "directory of its own; name another one with --datadir",
				       path, entry->d_name);
	return 0;
}

static bool is_usual(const struct project *project)
{
	auto_free char *usual = xasprintf("%s/.devbox/vm", project->root);

	return strcmp(usual, project->data_dir) == 0;
}

int data_dir_make(const struct project *project, int *ret_fd, struct err *err)
{
	auto_close int devbox = -1;
	auto_close int dir = -1;

	if (is_usual(project)) {
		if (make_devbox(project, &devbox, err) < 0 ||
		    file_mkdir(devbox, "vm", 0700, NULL, err) < 0) {
			advise(err);
			return err_wrap(err, "%s", project->root);
		}
		return file_open_dir(AT_FDCWD, project->data_dir, ret_fd, err);
	}
	if (file_mkdirs(project->data_dir, 0700, err) < 0 ||
	    file_open_dir(AT_FDCWD, project->data_dir, &dir, err) < 0)
		return -1;
	if (!registry_has(project->data_dir, dir) &&
	    (check_strange(project->data_dir, dir, err) < 0 || put_marks(dir, true, err) < 0))
		return -1;
	*ret_fd = take_fd(&dir);
	return 0;
}

static int remove_own(int data_dir, struct err *err)
{
	CLEANUP(close_list) DIR *list = file_list(data_dir, ".");
	const struct dirent *entry;

	while (list && (entry = readdir(list)))
		if (is_own(entry->d_name) && tree_remove(data_dir, entry->d_name, err) < 0)
			return -1;
	return list ? 0 : err_sys(err, "read");
}

int data_dir_remove(const struct project *project, int data_dir, bool *ret_more, struct err *err)
{
	*ret_more = false;
	if (is_usual(project))
		return tree_remove(AT_FDCWD, project->data_dir, err);
	if (remove_own(data_dir, err) < 0)
		return -1;
	*ret_more = rmdir(project->data_dir) < 0 && (errno == ENOTEMPTY || errno == EEXIST);
	return 0;
}
