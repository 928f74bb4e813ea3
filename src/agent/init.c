#include "agent/init.h"

#include "agent/modules.h"
#include "agent/mounts.h"
#include "agent/programs.h"
#include "agent/root.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <fcntl.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define CMDLINE_MAX	 65536
#define ROOT_OPTION	 "dxvm.root="
#define OPEN_FILES_USUAL 1024
#define OPEN_FILES_MOST	 524288

/* The console is the host's `console` file. Nothing here may wait for it. */
static void open_console(void)
{
	int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		log_to(fd, LOG_INFO, 0);
}

char *init_find_root(const char *cmdline)
{
	for (const char *at = cmdline; *at; at += strcspn(at, " \n"), at += strspn(at, " \n"))
		if (strncmp(at, ROOT_OPTION, strlen(ROOT_OPTION)) == 0) {
			at += strlen(ROOT_OPTION);
			return xstrndup(at, strcspn(at, " \n"));
		}
	return NULL;
}

/* What a login would set for its session (the kernel's own default is 1024 and 4096). */
static void set_limits(void)
{
	const struct rlimit files = {.rlim_cur = OPEN_FILES_USUAL, .rlim_max = OPEN_FILES_MOST};

	(void)setrlimit(RLIMIT_NOFILE, &files);
	(void)umask(022);
	(void)reboot(RB_DISABLE_CAD); /* ctrl-alt-del becomes SIGINT to us */
}

int init_boot(struct err *err)
{
	auto_free char *cmdline = NULL;
	auto_free char *root = NULL;
	auto_close int devbox = programs_take();
	int result = 0;

	open_console();
	set_limits();
	modules_load();
	if (file_read(AT_FDCWD, "/proc/cmdline", CMDLINE_MAX, &cmdline, NULL, err) < 0)
		return -1;
	root = init_find_root(cmdline);
	if (root && root_switch(root, err) < 0) {
		(void)err_wrap(err, "root file system %s", root);
		result = -1;
	}
	mounts_late(!root || result < 0);
	programs_install(devbox);
	return result;
}
