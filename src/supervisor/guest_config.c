/*
 * The guest user has the host user's name and ids, so that ownership looks the same on both sides.
 * Two exceptions: the host's root becomes an ordinary user `dev` in the guest, with the ids of the
 * project's owner if that is an ordinary user; and a name that would not do in /etc/passwd becomes
 * `dev` as well.
 */
#include "supervisor/guest_config.h"

#include "base/mem.h"
#include "base/path.h"
#include "project/tools.h"

#include <ctype.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#define FALLBACK_NAME	"dev"
#define FALLBACK_ID	1000
#define NAME_MAX_LENGTH 31 /* useradd(8) */
#define ZONEINFO	"/zoneinfo/"

/* What useradd accepts without --badname, less "root". */
static bool name_will_do(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > NAME_MAX_LENGTH || strcmp(name, "root") == 0)
		return false;
	if (!islower((unsigned char)name[0]) && name[0] != '_')
		return false;
	for (size_t i = 1; i < n; i++)
		if (!islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]) &&
		    name[i] != '_' && name[i] != '-')
			return false;
	return true;
}

static char *guest_user_name(void)
{
	const struct passwd *pw = getuid() == 0 ? NULL : getpwuid(getuid());

	return xstrdup(pw && name_will_do(pw->pw_name) ? pw->pw_name : FALLBACK_NAME);
}

int guest_config_ids(const char *root, struct guest_ids *ret_ids, struct err *err)
{
	struct stat st;

	if (stat(root, &st) < 0)
		return err_sys(err, "%s", root);
	*ret_ids = (struct guest_ids){.host_uid = geteuid(), .host_gid = getegid()};
	if (ret_ids->host_uid == 0) {
		ret_ids->host_uid = st.st_uid;
		ret_ids->host_gid = st.st_gid;
	}
	ret_ids->guest_uid = ret_ids->host_uid ? ret_ids->host_uid : FALLBACK_ID;
	ret_ids->guest_gid = ret_ids->host_gid ? ret_ids->host_gid : FALLBACK_ID;
	return 0;
}

/* "Europe/Berlin" from $TZ or the link /etc/localtime; "" (UTC) when neither tells. */
static char *host_timezone(void)
{
	const char *tz = getenv("TZ");
	char target[256];
	ssize_t n;
	char *zone;

	if (tz && tz[0] == ':')
		tz++;
	if (tz && tz[0] && tz[0] != '/' && !strstr(tz, ".."))
		return xstrdup(tz);
	n = readlink("/etc/localtime", target, sizeof(target) - 1);
	if (n <= 0)
		return xstrdup("");
	target[n] = '\0';
	zone = strstr(target, ZONEINFO);
	return xstrdup(zone ? zone + strlen(ZONEINFO) : "");
}

/* "dxvm-<project>", fit for a host name: letters, digits and single hyphens, at most 63 bytes. */
static char *host_name(const char *project)
{
	char name[64] = "dxvm-";
	size_t used = 5;

	for (const char *c = project; *c && used < sizeof(name) - 1; c++) {
		if (isascii((unsigned char)*c) && isalnum((unsigned char)*c))
			name[used++] = (char)tolower((unsigned char)*c);
		else if (name[used - 1] != '-')
			name[used++] = '-';
	}
	while (name[used - 1] == '-')
		used--;
	name[used] = '\0';
	return xstrdup(name);
}

static void add_project_share(const struct project *project, struct message_configure *configure)
{
	struct message_share *share = &configure->shares[configure->share_count++];

	*share = (struct message_share){
	    .number = 1,
	    .path = xstrdup(configure->project),
	    .alias = xstrdup(project->root),
	    .local = xstrdup(".devbox"),
	    .read_only = false,
	};
}

static void add_further_shares(const struct share_list *further,
			       struct message_configure *configure)
{
	for (size_t i = 0; i < further->count; i++) {
		const struct share_entry *entry = &further->entries[i];
		const char *place = entry->guest_path;

		configure->shares[configure->share_count++] = (struct message_share){
		    .number = GUEST_CONFIG_FURTHER + (uint32_t)i,
		    .path = place[0] == '~' ? xasprintf("/home/%s%s", configure->user, place + 1)
					    : xstrdup(place),
		    .alias = xstrdup(""),
		    .local = xstrdup(""),
		    .read_only = entry->read_only,
		};
	}
}

_Static_assert(GUEST_CONFIG_FURTHER + SHARE_LIST_MAX == GUEST_CONFIG_BOOT, "a number for each");

static void add_share(struct message_configure *configure, uint32_t number, const char *path,
		      bool read_only)
{
	configure->shares[configure->share_count++] = (struct message_share){
	    .number = number,
	    .path = xstrdup(path),
	    .alias = xstrdup(""),
	    .local = xstrdup(""),
	    .read_only = read_only,
	};
}

bool guest_config_takes_tools(const struct project *project, const struct settings *settings)
{
	return settings->guest->takes_tools && project->shared;
}

int guest_config_make(const struct project *project, const struct identity *identity,
		      const struct settings *settings, const struct share_list *further,
		      struct message_configure *ret_configure, struct guest_ids *ret_ids,
		      struct err *err)
{
	struct message_configure configure = {.network = settings->net};
	struct timespec now;

	if (guest_config_ids(project->root, ret_ids, err) < 0)
		return -1;
	if (clock_gettime(CLOCK_REALTIME, &now) < 0 ||
	    getentropy(configure.entropy, sizeof(configure.entropy)) < 0)
		return err_sys(err, "clock and random bytes");
	configure.time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	memcpy(configure.machine_id, identity->bytes, sizeof(configure.machine_id));
	configure.uid = ret_ids->guest_uid;
	configure.gid = ret_ids->guest_gid;
	configure.user = guest_user_name();
	configure.shell = xstrdup("");
	configure.hostname = host_name(project->name);
	configure.timezone = host_timezone();
	if (!settings->guest->has_machine) {
		configure.project = xstrdup(project->root);
	} else if (!project->shared) {
		configure.project = xasprintf("/home/%s", configure.user);
	} else {
		configure.project = xasprintf("/home/%s/devbox/%s", configure.user, project->name);
		add_project_share(project, &configure);
	}
	if (settings->guest->has_machine)
		add_further_shares(further, &configure);
	if (settings->guest->boots_itself)
		add_share(&configure, GUEST_CONFIG_BOOT, "/boot", false);
	if (guest_config_takes_tools(project, settings) && tools_wanted())
		add_share(&configure, GUEST_CONFIG_TOOLS, PROTO_TOOLS, true);
	*ret_configure = configure;
	return 0;
}
