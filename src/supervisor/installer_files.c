#include "supervisor/installer_files.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/tree.h"
#include "guest/entry.h"
#include "guest/file.h"
#include "guest/nixos.h"
#include "guest/templates.h"
#include "project/saved.h"
#include "supervisor/guest_config.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define INSTALLER     "installer"
#define BOOTSTRAP     "bootstrap"
#define BOOT_NEW      "boot.new"
#define TEXT_MAX      ((size_t)4096)
#define LOCAL_MAX     ((size_t)1 << 20)
#define LOCAL_PATH    "dxvm/configuration.nix"
#define HOST_LOOPBACK "10.0.2.2" /* as a guest reaches it */

/* -- bootstrap -- */

/* ~/.config/dxvm/configuration.nix of the person who installs. */
static int put_local(int bootstrap, struct err *err)
{
	const char *config = getenv("XDG_CONFIG_HOME");
	auto_free char *home = path_home();
	auto_free char *usual = xasprintf("%s/.config", home ? home : "");
	auto_free char *path = path_join(config && config[0] == '/' ? config : usual, LOCAL_PATH);
	auto_free char *text = NULL;
	size_t length;

	if (file_read(AT_FDCWD, path, LOCAL_MAX, &text, &length, err) < 0)
		return err->code == ERR_NOT_FOUND ? 0 : err_wrap(err, "%s", path);
	return file_write_atomic(bootstrap, "local.nix", text, length, 0644, err);
}

static int put_text(int bootstrap, const char *name, const char *text, struct err *err)
{
	return file_write_atomic(bootstrap, name, text, strlen(text), 0644, err);
}

static int put_program(int bootstrap, const char *room, const char *name, struct err *err)
{
	auto_free char *path = path_program(room, name, err);
	auto_close int from = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	auto_close int to =
	    openat(bootstrap, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);

	if (!path)
		return -1;
	if (from < 0 || to < 0)
		return err_sys(err, "copy %s", path);
	return file_clone(from, to, err);
}

/* A proxy on this host's loopback has another address in the guest. */
static char *seen_by_guest(const char *name, const char *value)
{
	static const char *const names[] = {"://127.0.0.1", "://localhost", "://[::1]"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *at = strstr(value, names[i]);
		const char *rest = at ? at + strlen(names[i]) : NULL;

		if (rest && (*rest == ':' || *rest == '/' || *rest == '\0'))
			return xasprintf("%s=%.*s://" HOST_LOOPBACK "%s", name, (int)(at - value),
					 value, rest);
	}
	return xasprintf("%s=%s", name, value);
}

/* The proxies of the host's environment. */
static void take_environment(char **entries, size_t room)
{
	static const char *const names[] = {"http_proxy", "https_proxy", "all_proxy", "no_proxy",
					    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"};
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names) && count + 1 < room; i++) {
		const char *value = getenv(names[i]);

		if (value && *value && strlen(value) < TEXT_MAX)
			entries[count++] = seen_by_guest(names[i], value);
	}
}

/* The first field of what the user database says about a person. */
static char *full_name(void)
{
	const struct passwd *pw = getuid() == 0 ? NULL : getpwuid(getuid());

	return pw && pw->pw_gecos ? xstrndup(pw->pw_gecos, strcspn(pw->pw_gecos, ","))
				  : xstrdup("");
}

static int put_texts(int bootstrap, const struct message_configure *configure, const char *release,
		     struct err *err)
{
	auto_free char *name = full_name();
	char *environment[16] = {NULL};
	const struct nixos nixos = {
	    .user = configure->user,
	    .uid = configure->uid,
	    .gid = configure->gid,
	    .description = name,
	    .timezone = configure->timezone,
	    .release = release,
	    .environment = environment,
	};
	auto_free char *configuration = NULL;
	auto_free char *script = NULL;
	int result = -1;

	take_environment(environment, ARRAY_SIZE(environment));
	if (nixos_configuration(&nixos, &configuration, err) == 0 &&
	    nixos_install_script(&nixos, &script, err) == 0 &&
	    put_text(bootstrap, "configuration.nix", configuration, err) == 0 &&
	    put_text(bootstrap, "install.sh", script, err) == 0 &&
	    put_text(bootstrap, "dxvm-boot.sh", template_nixos_boot, err) == 0)
		result = 0;
	for (size_t i = 0; i < ARRAY_SIZE(environment); i++)
		free(environment[i]);
	return result;
}

static int make_bootstrap(struct installer_files *files, const struct project *project,
			  const struct settings *settings, struct err *err)
{
	const struct identity nobody = {.hex = ""};
	const struct share_list none = {.count = 0};
	struct message_configure configure;
	struct guest_ids ids;
	int result;

	if (tree_remove(files->data_dir, BOOTSTRAP, err) < 0)
		return -1;
	if (mkdirat(files->data_dir, BOOTSTRAP, 0700) < 0)
		return err_sys(err, "create " BOOTSTRAP);
	if (file_open_dir(files->data_dir, BOOTSTRAP, &files->bootstrap_fd, err) < 0 ||
	    guest_config_make(project, &nobody, settings, &none, &configure, &ids, err) < 0)
		return -1;
	result = put_texts(files->bootstrap_fd, &configure, files->release, err);
	message_configure_done(&configure);
	if (result < 0 || put_local(files->bootstrap_fd, err) < 0 ||
	    put_program(files->bootstrap_fd, "agent", "dxvm-agent", err) < 0 ||
	    put_program(files->bootstrap_fd, "devbox", "dxvm-devbox", err) < 0)
		return -1;
	return 0;
}

/* -- installer -- */

static int read_line(int dir, const char *name, char **ret_text, struct err *err)
{
	auto_free char *text = NULL;
	size_t length;

	if (file_read(dir, name, TEXT_MAX, &text, &length, err) < 0)
		return err_wrap(err, INSTALLER);
	if (length > 0 && text[length - 1] == '\n')
		text[length - 1] = '\0';
	*ret_text = take_ptr(&text);
	return 0;
}

/* Made by dxvm-image a moment ago, and still what it made: the directory is the user's. */
static int open_installer(struct installer_files *files, struct err *err)
{
	auto_close int dir = -1;
	auto_free char *iso = NULL;

	if (file_open_dir(files->data_dir, INSTALLER, &dir, err) < 0 ||
	    guest_file_open(dir, "kernel", INSTALLER "/kernel", O_RDONLY, GUEST_KERNEL_MAX,
			    &files->kernel_fd, err) < 0 ||
	    guest_file_open(dir, "initrd", INSTALLER "/initrd", O_RDONLY, GUEST_INITRD_MAX,
			    &files->initrd_fd, err) < 0 ||
	    guest_file_open(dir, "disk.img", INSTALLER "/disk.img", O_RDWR, GUEST_DISK_MAX,
			    &files->disk_fd, err) < 0 ||
	    read_line(dir, "cmdline", &files->cmdline, err) < 0 ||
	    read_line(dir, "release", &files->release, err) < 0 ||
	    read_line(dir, "hash", &files->hash, err) < 0 || read_line(dir, "iso", &iso, err) < 0)
		return -1;
	files->media_fd = open(iso, O_RDONLY | O_CLOEXEC);
	if (files->media_fd < 0)
		return err_sys(err, "%s", iso);
	if (mkdirat(dir, "boot", 0700) < 0)
		return err_sys(err, "create " INSTALLER "/boot");
	return file_open_dir(dir, "boot", &files->boot_fd, err);
}

int installer_files_open(int data_dir, const struct project *project,
			 const struct settings *settings, struct installer_files *ret_files,
			 struct err *err)
{
	*ret_files = (struct installer_files){
	    .data_dir = data_dir,
	    .kernel_fd = -1,
	    .initrd_fd = -1,
	    .disk_fd = -1,
	    .media_fd = -1,
	    .bootstrap_fd = -1,
	    .boot_fd = -1,
	};
	if (open_installer(ret_files, err) == 0 &&
	    make_bootstrap(ret_files, project, settings, err) == 0)
		return 0;
	installer_files_close(ret_files);
	return -1;
}

void installer_files_close(struct installer_files *files)
{
	close_fd(&files->kernel_fd);
	close_fd(&files->initrd_fd);
	close_fd(&files->disk_fd);
	close_fd(&files->media_fd);
	close_fd(&files->bootstrap_fd);
	close_fd(&files->boot_fd);
	free(take_ptr(&files->cmdline));
	free(take_ptr(&files->release));
	free(take_ptr(&files->hash));
}

void installer_files_remove(const struct installer_files *files)
{
	struct err ignored = ERR_INIT;

	(void)tree_remove(files->data_dir, INSTALLER, &ignored);
	(void)tree_remove(files->data_dir, BOOTSTRAP, &ignored);
	(void)tree_remove(files->data_dir, BOOT_NEW, &ignored);
}

/* -- what it made -- */

int installer_files_copy(int from, int dir, const char *name, struct err *err)
{
	auto_close int to = -1;

	if (file_create(dir, name, 0600, &to, err) < 0)
		return -1;
	if (file_clone(from, to, err) < 0)
		return err_wrap(err, "%s", name);
	return file_sync(to, name, err);
}

/* Copies, so that of a directory the guest could write nothing is taken but these contents. */
static int keep_entry(int dir, struct guest_entry *entry, const struct guest_ids *ids,
		      struct err *err)
{
	static const char *const names[] = {".", "kernel", "initrd", "cmdline"};

	if (installer_files_copy(entry->kernel_fd, dir, "kernel", err) < 0 ||
	    installer_files_copy(entry->initrd_fd, dir, "initrd", err) < 0 ||
	    file_write_atomic(dir, "cmdline", entry->cmdline, strlen(entry->cmdline), 0600, err) <
		0)
		return err_wrap(err, BOOT_NEW);
	for (size_t i = 0; geteuid() == 0 && i < ARRAY_SIZE(names); i++)
		if (fchownat(dir, names[i], ids->host_uid, ids->host_gid, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(err, BOOT_NEW);
	return file_sync(dir, BOOT_NEW, err);
}

static int make_boot(const struct installer_files *files, const struct guest_ids *ids,
		     struct err *err)
{
	struct guest_entry entry;
	auto_close int dir = -1;
	int result;

	if (tree_remove(files->data_dir, BOOT_NEW, err) < 0 ||
	    guest_entry_open(files->boot_fd, false, &entry, err) < 0)
		return -1;
	if (mkdirat(files->data_dir, BOOT_NEW, 0700) < 0 ||
	    mkdirat(files->data_dir, BOOT_NEW "/current", 0700) < 0)
		result = err_sys(err, "create " BOOT_NEW);
	else if ((result = file_open_dir(files->data_dir, BOOT_NEW "/current", &dir, err)) == 0)
		result = keep_entry(dir, &entry, ids, err);
	(void)close(entry.kernel_fd);
	(void)close(entry.initrd_fd);
	free(entry.cmdline);
	return result;
}

/* From the removal of `guest` to its being written anew (by who started us) there is no VM here. */
static int swap(const struct installer_files *files, struct err *err)
{
	int dir = files->data_dir;

	if (file_sync(files->disk_fd, "disk.img", err) < 0 || file_remove(dir, "guest", err) < 0 ||
	    saved_remove(dir, err) < 0 || tree_remove(dir, "boot", err) < 0)
		return -1;
	if (file_rename(dir, BOOT_NEW, "boot", err) < 0 ||
	    file_rename(dir, INSTALLER "/disk.img", "disk.img", err) < 0 ||
	    file_sync(dir, "the directory", err) < 0)
		return err_wrap(err, "put the new VM in its place");
	return 0;
}

int installer_files_publish(struct installer_files *files, const struct project *project,
			    struct err *err)
{
	struct guest_ids ids;

	if (guest_config_ids(project->root, &ids, err) < 0 || make_boot(files, &ids, err) < 0 ||
	    swap(files, err) < 0)
		return err_wrap(err, "keep what was installed");
	return 0;
}
