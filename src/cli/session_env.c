#include "cli/session_env.h"

#include "base/mem.h"

#include <fnmatch.h>
#include <stdbool.h>
#include <string.h>

extern char **environ;

static const char *const passed[] = {
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "DXVM_SUBSTITUTERS",
    "DXVM_TRUSTED_KEYS",
};

static bool passes(const char *entry)
{
	auto_free char *name = xstrndup(entry, strcspn(entry, "="));

	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		if (fnmatch(passed[i], name, 0) == 0)
			return true;
	return false;
}

char **session_env(void)
{
	size_t count = 0;
	char **env;

	while (environ && environ[count])
		count++;
	env = xcalloc(count + 1, sizeof(*env));
	count = 0;
	for (char **e = environ; e && *e; e++)
		if (strchr(*e, '=') && passes(*e))
			env[count++] = *e;
	return env;
}
