#include "agent/modules.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#define DIRECTORY "/lib/dxvm/modules"
#define ORDER	  "/lib/dxvm/modules.order"
#define ORDER_MAX 65536

static void load(const char *name)
{
	auto_free char *path = xasprintf(DIRECTORY "/%s", name);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		log_warn("modules", "%s: %s", name, strerror(errno));
}

void modules_load(void)
{
	auto_free char *order = NULL;
	struct err err = ERR_INIT;
	char *save = NULL;

	if (file_read(AT_FDCWD, ORDER, ORDER_MAX, &order, NULL, &err) < 0) {
		log_warn("modules", "%s", err.text);
		return;
	}
	for (char *name = strtok_r(order, "\n", &save); name; name = strtok_r(NULL, "\n", &save))
		load(name);
}
