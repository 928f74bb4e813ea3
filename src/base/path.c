#include "base/path.h"

#include "base/mem.h"

#include <pwd.h>
#include <string.h>

#ifdef __APPLE__
#include <limits.h>
#include <mach-o/dyld.h>
#include <stdint.h>
#endif

char *path_join(const char *dir, const char *name)
{
	size_t n = strlen(dir);

	return xasprintf(n == 0 || dir[n - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

bool path_lies_in(const char *inner, const char *outer)
{
	size_t n = strlen(outer);

	if (strcmp(outer, "/") == 0)
		return true;
	return strncmp(inner, outer, n) == 0 && (inner[n] == '/' || inner[n] == '\0');
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

char *path_self(struct err *err)
{
#ifdef __APPLE__
	char path[PATH_MAX];
	uint32_t size = sizeof(path);
	char *self = _NSGetExecutablePath(path, &size) == 0 ? realpath(path, NULL) : NULL;
#else
	char *self = realpath("/proc/self/exe", NULL);
#endif
	if (!self)
		(void)err_sys(err, "find the running program");
	return self;
}

char *path_running(struct err *err)
{
#ifdef __linux__
	(void)err;
	return xstrdup("/proc/self/exe");
#else
	return path_self(err);
#endif
}

char *path_program(const char *room, const char *name, struct err *err)
{
	const char *libexec = absolute_env("DXVM_LIBEXEC");
	auto_free char *self = path_self(err);
	char *slash;

	if (!self)
		return NULL;
	if (libexec)
		return path_join(libexec, name);
	slash = strrchr(self, '/');
	*slash = '\0';
	auto_free char *built = xasprintf("%s/src/%s/%s", self, room, name);
	auto_free char *installed = xasprintf("%s/../libexec/dxvm/%s", self, name);
	if (access(built, X_OK) == 0)
		return take_ptr(&built);
	if (access(installed, X_OK) == 0)
		return take_ptr(&installed);
	(void)err_set(err, ERR_NOT_FOUND, "%s is missing: neither %s nor %s is there", name, built,
		      installed);
	return NULL;
}
