#include "agent/programs.h"

#include "agent/etc.h"
#include "base/file.h"
#include "base/log.h"
#include "wire/proto.h"

#include <fcntl.h>
#include <sys/stat.h>

#define PROFILE_DIR "/etc/profile.d"

/* /etc/profile begins PATH anew, then reads this. */
static const char profile[] = "# The last directories of PATH, written by dxvm at each start.\n"
			      "for dir in " PROGRAMS " " PROTO_TOOLS "; do\n"
			      "\tcase \":$PATH:\" in\n"
			      "\t*\":$dir:\"*) ;;\n"
			      "\t*) PATH=\"$PATH:$dir\" ;;\n"
			      "\tesac\n"
			      "done\n"
			      "unset dir\n"
			      "export PATH\n";

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

int programs_show_to_logins(struct err *err)
{
	struct stat st;

	if (stat(PROFILE_DIR, &st) < 0)
		return 0;
	return etc_write("profile.d/dxvm.sh", profile, 0644, err);
}
