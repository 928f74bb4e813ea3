#include "image/initrd.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/newc.h"
#include "base/path.h"
#include "image/child.h"
#include "image/unpack.h"

#include <string.h>
#include <sys/stat.h>

#define INITRD_MAX   ((size_t)128 << 20)
#define BUSYBOX_MAX  ((size_t)16 << 20)
#define TERMINFO_MAX ((size_t)64 << 10)
#define COMMANDS_MAX 1000

static const char *const directories[] = {"dev", "proc", "sys",	     "run",
					  "tmp", "lib",	 "lib/dxvm", "lib/dxvm/modules"};
/* Only where there is no disk; the mounts of the agent want /root and /home as well. */
static const char *const system_directories[] = {
    "bin",
    "etc",
    "home",
    "mnt",
    "root",
    "sbin",
    "usr",
    "usr/bin",
    "usr/sbin",
    "usr/share",
    "usr/share/terminfo",
    "var",
    "var/tmp",
};

static const struct {
	const char *name;
	mode_t mode;
	const char *text;
} etc_files[] = {
    {"etc/passwd", 0644,
     "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"},
    {"etc/group", 0644, "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"},
    {"etc/shadow", 0600, "root:*:::::::\n"},
    {"etc/hosts", 0644, "127.0.0.1 localhost\n::1 localhost\n"},
    {"etc/profile", 0644, "export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"},
    {"etc/shells", 0644, "/bin/sh\n"},
};

static const char *const terminals[] = {"l/linux", "s/screen",	      "s/screen-256color",
					"t/tmux",  "t/tmux-256color", "v/vt100",
					"x/xterm", "x/xterm-256color"};

struct command_list {
	char *names[COMMANDS_MAX]; /* "usr/bin/vi" */
	size_t count;
};

static int add_modules(struct newc *newc, const struct module_list *modules, struct err *err)
{
	auto_buf struct buf order;

	buf_init(&order, 1 << 16);
	for (size_t i = 0; i < modules->count; i++) {
		const struct module *module = &modules->modules[i];
		auto_free char *name = xasprintf("lib/dxvm/modules/%s.ko", module->name);

		(void)buf_printf(&order, "%s.ko\n", module->name);
		if (newc_file(newc, name, 0644, module->data, module->length, err) < 0)
			return -1;
	}
	return newc_file(newc, "lib/dxvm/modules.order", 0644, buf_data(&order), buf_length(&order),
			 err);
}

static void take_command(void *ctx, bool is_error, const char *line)
{
	struct command_list *list = ctx;

	if (!is_error && list->count < COMMANDS_MAX && line[0] != '/')
		list->names[list->count++] = xstrdup(line);
}

/* It knows its own commands; its architecture is the host's. */
static int add_busybox(struct newc *newc, const char *busybox, struct err *err)
{
	struct command_list list = {.count = 0};
	const char *const arguments[] = {busybox, "--list-full", NULL};
	struct child child = {
	    .arguments = arguments, .log_fd = -1, .line = take_command, .ctx = &list};
	auto_free uint8_t *data = NULL;
	size_t length;
	int result = -1;

	if (chmod(busybox, 0755) < 0)
		return err_sys(err, "%s", busybox);
	if (unpack_read(busybox, BUSYBOX_MAX, &data, &length, err) == 0 &&
	    newc_file(newc, "bin/busybox", 0755, data, length, err) == 0)
		result = child_run(&child, err);
	for (size_t i = 0; i < list.count; i++) {
		if (result == 0 && strcmp(list.names[i], "bin/busybox") != 0)
			result = newc_symlink(newc, list.names[i], "/bin/busybox", err);
		free(list.names[i]);
	}
	return result;
}

static int add_terminals(struct newc *newc, const char *terminfo, struct err *err)
{
	char last = '\0';

	for (size_t i = 0; terminfo && i < ARRAY_SIZE(terminals); i++) {
		auto_free char *from = path_join(terminfo, terminals[i]);
		auto_free char *name = path_join("usr/share/terminfo", terminals[i]);
		auto_free char *parent = xstrndup(name, sizeof("usr/share/terminfo/x") - 1);
		auto_free uint8_t *data = NULL;
		size_t length;

		if (access(from, R_OK) < 0)
			continue;
		if ((terminals[i][0] != last && newc_directory(newc, parent, 0755, err) < 0) ||
		    unpack_read(from, TERMINFO_MAX, &data, &length, err) < 0 ||
		    newc_file(newc, name, 0644, data, length, err) < 0)
			return -1;
		last = terminals[i][0];
	}
	return 0;
}

static int add_system(struct newc *newc, const struct initrd_system *system, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(system_directories); i++) {
		const char *name = system_directories[i];
		mode_t mode = strcmp(name, "root") == 0	     ? 0700
			      : strcmp(name, "var/tmp") == 0 ? 01777
							     : 0755;

		if (newc_directory(newc, name, mode, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(etc_files); i++)
		if (newc_file(newc, etc_files[i].name, etc_files[i].mode, etc_files[i].text,
			      strlen(etc_files[i].text), err) < 0)
			return -1;
	return add_busybox(newc, system->busybox, err) < 0 ||
		       add_terminals(newc, system->terminfo, err) < 0
		   ? -1
		   : 0;
}

int initrd_write(int fd, const struct module_list *modules, const struct initrd_system *system,
		 struct err *err)
{
	auto_buf struct buf out;
	struct newc newc;

	buf_init(&out, INITRD_MAX);
	newc_init(&newc, &out);
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		if (newc_directory(&newc, directories[i],
				   strcmp(directories[i], "tmp") == 0 ? 01777 : 0755, err) < 0)
			return -1;
	/* The kernel opens it for /init before anything is mounted. */
	if (newc_char_device(&newc, "dev/console", 0600, 5, 1, err) < 0 ||
	    add_modules(&newc, modules, err) < 0 ||
	    (system && add_system(&newc, system, err) < 0) || newc_end(&newc, err) < 0)
		return -1;
	return file_write_all(fd, buf_data(&out), buf_length(&out), err);
}
