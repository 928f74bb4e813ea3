#include "agent/programs.h"

#include "base/file.h"
#include "base/log.h"

#include <fcntl.h>
#include <sys/stat.h>

int programs_take(void)
{
	return open("/dxvm-devbox", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

int programs_take_kept(void)
{
	return open(PROGRAMS_KEPT "/dxvm-devbox", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

void programs_install(int program)
{
	struct err err = ERR_INIT;
	auto_close int copy = -1;

	if (program < 0 || file_mkdirs(PROGRAMS, 0755, &err) < 0)
		return;
	copy = open(PROGRAMS "/dxvm-devbox", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (copy < 0)
		(void)err_sys(&err, "create it");
	else if (file_clone(program, copy, &err) == 0)
		return;
	log_warn("programs", "dxvm-devbox: %s", err.text);
}
