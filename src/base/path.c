#include "base/path.h"

#include "base/mem.h"

#include <pwd.h>
#include <string.h>

char *path_join(const char *dir, const char *name)
{
	size_t n = strlen(dir);

	return xasprintf(n && dir[n - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static const char *absolute_env(const char *name)
{
	const char *value = getenv(name);

	return value && value[0] == '/' ? value : NULL;
}

char *path_home(void)
{
	const char *home = absolute_env("HOME");
	const struct passwd *pw;

	if (home)
		return xstrdup(home);
	pw = getpwuid(getuid());
	return pw && pw->pw_dir[0] == '/' ? xstrdup(pw->pw_dir) : NULL;
}

char *path_state_dir(struct err *err)
{
	const char *state = absolute_env("XDG_STATE_HOME");

	if (state)
		return path_join(state, "devbox/vm");
	auto_free char *home = path_home();
	if (!home) {
		(void)err_set(err, ERR_NOT_FOUND, "no home directory: set HOME or XDG_STATE_HOME");
		return NULL;
	}
	return path_join(home, ".local/state/devbox/vm");
}

char *path_runtime_dir(void)
{
	const char *runtime = absolute_env("XDG_RUNTIME_DIR");

	/* sun_path holds 104 bytes on macOS, 108 on Linux; "/dxvm/<16 hex>.sock" follows. */
	if (runtime && strlen(runtime) < 70)
		return path_join(runtime, "dxvm");
	return xasprintf("/tmp/dxvm-%lu", (unsigned long)getuid());
}
