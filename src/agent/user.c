#include "agent/user.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#define GROUP_FIELDS 4

size_t user_split(char *line, char **fields, size_t max)
{
	size_t count = 0;

	for (char *field = line; field; count++) {
		char *colon = strchr(field, ':');

		if (colon)
			*colon = '\0';
		if (count < max)
			fields[count] = field;
		field = colon ? colon + 1 : NULL;
	}
	return count;
}

static bool parse_id(const char *text, uint32_t *ret_id)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value > UINT32_MAX - 1)
		return false;
	*ret_id = (uint32_t)value;
	return true;
}

static bool lists_member(char *members, const char *name)
{
	char *save = NULL;

	for (char *m = strtok_r(members, ",", &save); m; m = strtok_r(NULL, ",", &save))
		if (strcmp(m, name) == 0)
			return true;
	return false;
}

static void find_groups(const char *group, struct user *user)
{
	auto_free char *text = xstrdup(group);
	char *save = NULL;

	user->groups[user->group_count++] = user->gid;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *fields[GROUP_FIELDS];
		uint32_t gid;

		if (user_split(line, fields, GROUP_FIELDS) == GROUP_FIELDS &&
		    parse_id(fields[2], &gid) && gid != user->gid &&
		    user->group_count < USER_GROUPS_MAX && lists_member(fields[3], user->name))
			user->groups[user->group_count++] = gid;
	}
}

/* By name, or by uid when name is NULL. */
static bool find_line(const char *passwd, const char *name, uid_t wanted, struct user *ret_user)
{
	auto_free char *text = xstrdup(passwd);
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *fields[USER_PASSWD_FIELDS];
		uint32_t uid;
		uint32_t gid;

		if (user_split(line, fields, USER_PASSWD_FIELDS) != USER_PASSWD_FIELDS ||
		    !parse_id(fields[2], &uid) || !parse_id(fields[3], &gid))
			continue;
		if (name ? strcmp(fields[0], name) != 0 : uid != wanted)
			continue;
		*ret_user = (struct user){
		    .name = xstrdup(fields[0]),
		    .uid = uid,
		    .gid = gid,
		    .home = xstrdup(fields[5][0] == '/' ? fields[5] : "/"),
		    .shell = xstrdup(fields[6][0] == '/' ? fields[6] : USER_FALLBACK_SHELL),
		};
		return true;
	}
	return false;
}

int user_find(const char *passwd, const char *group, const char *name, struct user *ret_user,
	      struct err *err)
{
	if (!find_line(passwd, name, 0, ret_user))
		return err_set(err, ERR_NOT_FOUND, "there is no user %s in the guest", name);
	find_groups(group, ret_user);
	return 0;
}

static int read_files(char **ret_passwd, char **ret_group, struct err *err)
{
	auto_free char *passwd = NULL;

	if (file_read(AT_FDCWD, "/etc/passwd", USER_FILE_MAX, &passwd, NULL, err) < 0 ||
	    file_read(AT_FDCWD, "/etc/group", USER_FILE_MAX, ret_group, NULL, err) < 0)
		return -1;
	*ret_passwd = take_ptr(&passwd);
	return 0;
}

int user_lookup(const char *name, struct user *ret_user, struct err *err)
{
	auto_free char *passwd = NULL;
	auto_free char *group = NULL;

	if (read_files(&passwd, &group, err) < 0)
		return -1;
	return user_find(passwd, group, name, ret_user, err);
}

void user_self(struct user *ret_user)
{
	auto_free char *passwd = NULL;
	auto_free char *group = NULL;
	struct err ignored = ERR_INIT;
	const char *home = getenv("HOME");
	const char *shell = getenv("SHELL");

	if (read_files(&passwd, &group, &ignored) < 0 ||
	    !find_line(passwd, NULL, getuid(), ret_user))
		*ret_user = (struct user){
		    .name = xasprintf("%lu", (unsigned long)getuid()),
		    .home = xstrdup("/"),
		    .shell = xstrdup(USER_FALLBACK_SHELL),
		};
	ret_user->uid = getuid();
	ret_user->gid = getgid();
	if (home && home[0] == '/') {
		free(ret_user->home);
		ret_user->home = xstrdup(home);
	}
	if (shell && shell[0] == '/') {
		free(ret_user->shell);
		ret_user->shell = xstrdup(shell);
	}
}

void user_done(struct user *user)
{
	free(user->name);
	free(user->home);
	free(user->shell);
	*user = (struct user){.name = NULL};
}
