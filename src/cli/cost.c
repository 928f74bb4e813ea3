#include "cli/cost.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"

#include <fcntl.h>
#include <string.h>

#define STATUS_MAX 16384
#define FIELD	   "\nRssAnon:"
#define KIB	   1024

uint64_t cost_of_process(pid_t pid)
{
	auto_free char *path = xasprintf("/proc/%ld/status", (long)pid);
	auto_free char *text = NULL;
	struct err ignored = ERR_INIT;
	const char *at;
	uint64_t kib;

	if (pid <= 0 || file_read(AT_FDCWD, path, STATUS_MAX, &text, NULL, &ignored) < 0)
		return 0;
	at = strstr(text, FIELD);
	if (!at)
		return 0;
	at += strlen(FIELD);
	at += strspn(at, " \t");
	return number_take(&at, 10, UINT64_MAX / KIB, &kib) ? kib * KIB : 0;
}
