#include "image/jail.h"

#include "base/file.h"
#include "base/mem.h"

#include <ctype.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define RANGE	      65536ul
#define FIRST_FREE    100000ul
#define ID_MAX	      4294967295ul
#define FILE_MAX      ((size_t)1 << 20)
#define ARGUMENTS_MAX 64

struct range {
	char owner[64];
	unsigned long start;
	unsigned long count;
};

/* The number between colons at *text, which moves behind it; ID_MAX + 1 when there is none. */
static unsigned long next_number(const char **text)
{
	char *end;

	if (**text != ':' || !isdigit((unsigned char)(*text)[1]))
		return ID_MAX + 1;
	unsigned long value = strtoul(*text + 1, &end, 10);
	*text = end;
	return value;
}

/* "owner:start:count"; *text moves to the next line. False at the end; what is no range is
 * skipped. */
static bool next_range(const char **text, struct range *range)
{
	while (**text) {
		const char *line = *text;
		size_t owner = strcspn(line, ":\n");

		*text += strcspn(line, "\n");
		*text += **text == '\n';
		if (owner >= sizeof(range->owner))
			continue;
		memcpy(range->owner, line, owner);
		range->owner[owner] = '\0';
		line += owner;
		range->start = next_number(&line);
		range->count = next_number(&line);
		if (range->start <= ID_MAX && range->count <= ID_MAX)
			return true;
	}
	return false;
}

bool jail_has_range(const char *subuid, const char *user, unsigned long uid)
{
	auto_free char *number = xasprintf("%lu", uid);
	struct range range;

	while (next_range(&subuid, &range))
		if ((strcmp(range.owner, user) == 0 || strcmp(range.owner, number) == 0) &&
		    range.count >= RANGE)
			return true;
	return false;
}

static unsigned long above_all(const char *text, unsigned long free)
{
	struct range range;

	while (next_range(&text, &range))
		if (range.start + range.count > free)
			free = range.start + range.count;
	return free;
}

unsigned long jail_free_range(const char *subuid, const char *subgid)
{
	return above_all(subgid, above_all(subuid, FIRST_FREE));
}

static char *read_or_empty(const char *path)
{
	struct err ignored = ERR_INIT;
	char *text;

	if (file_read(AT_FDCWD, path, FILE_MAX, &text, NULL, &ignored) < 0)
		return xstrdup("");
	return text;
}

static int check_ids(struct err *err)
{
	auto_free char *subuid = read_or_empty("/etc/subuid");
	auto_free char *subgid = read_or_empty("/etc/subgid");
	const struct passwd *pw = getpwuid(getuid());
	const char *user = pw ? pw->pw_name : "";
	unsigned long start;

	if (jail_has_range(subuid, user, getuid()) && jail_has_range(subgid, user, getuid()))
		return 0;
	if (!pw)
		return err_set(err, ERR_UNSUPPORTED,
			       "user %lu has no name and so no subordinate ids",
			       (unsigned long)getuid());
	start = jail_free_range(subuid, subgid);
	return err_set(err, ERR_UNSUPPORTED,
		       "making a root file system as an ordinary user needs subordinate ids; run "
		       "once: sudo usermod --add-subuids %lu-%lu --add-subgids %lu-%lu %s",
		       start, start + RANGE - 1, start, start + RANGE - 1, user);
}

int jail_check(struct err *err)
{
	static const char *const nothing[] = {"true", NULL};
	static const char *const newuidmap[] = {"newuidmap", NULL};
	struct child probe = {.arguments = newuidmap, .log_fd = -1};
	struct child child = {.arguments = nothing, .log_fd = -1};
	struct err ignored = ERR_INIT;

	if (geteuid() != 0) {
		/* Without arguments it fails; that it can be run is what counts. */
		if (child_run(&probe, &ignored) < 0 && ignored.code == ERR_NOT_FOUND)
			return err_set(err, ERR_UNSUPPORTED,
				       "newuidmap is not installed; run once: sudo apt-get install "
				       "uidmap");
		if (check_ids(err) < 0)
			return -1;
	}
	if (jail_run(&child, err) < 0)
		return err_wrap(err, "this system does not allow the namespaces that the build "
				     "needs");
	return 0;
}

int jail_run(const struct child *child, struct err *err)
{
	static const char *const as_root[] = {"unshare", "--mount",	 "--pid",
					      "--fork",	 "--kill-child", "--"};
	static const char *const as_user[] = {"unshare",    "--user",	    "--map-root-user",
					      "--map-auto", "--mount",	    "--pid",
					      "--fork",	    "--kill-child", "--"};
	bool root = geteuid() == 0;
	const char *const *prefix = root ? as_root : as_user;
	size_t count = root ? ARRAY_SIZE(as_root) : ARRAY_SIZE(as_user);
	const char *arguments[ARGUMENTS_MAX + 1] = {0};
	struct child inner = *child;

	memcpy(arguments, prefix, count * sizeof(*prefix));
	for (size_t i = 0; child->arguments[i]; i++) {
		if (count == ARGUMENTS_MAX)
			return err_set(err, ERR_INVALID, "too many arguments");
		arguments[count++] = child->arguments[i];
	}
	inner.arguments = arguments;
	return child_run(&inner, err);
}
