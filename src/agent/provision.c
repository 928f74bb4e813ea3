#include "agent/provision.h"

#include "agent/home.h"
#include "agent/identity.h"
#include "agent/net.h"
#include "agent/programs.h"
#include "agent/root.h"
#include "agent/user.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/number.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define CGROUP_ROOT  "/sys/fs/cgroup"
#define CGROUP_ENTRY "0::" /* of the one hierarchy, in /proc/self/cgroup */
#define CGROUP_MAX   4096

/* A step the guest can do without. */
static void try(int result, struct err *err)
{
	if (result < 0) {
		log_warn("provision", "%s", err->text);
		err->code = ERR_NONE;
	}
}

static void write_line(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		log_warn("provision", "%s: %s", path, strerror(errno));
}

/* Where cgroups of ours may be: below the root as PID 1, else below that of the service, which its
 * manager has delegated. The caller's; NULL when there is none. */
static char *cgroup_base(void)
{
	auto_free char *text = NULL;
	struct err err = ERR_INIT;
	const char *path;

	if (getpid() == 1)
		return xstrdup(CGROUP_ROOT);
	if (file_read(AT_FDCWD, "/proc/self/cgroup", CGROUP_MAX, &text, NULL, &err) < 0)
		return NULL;
	path = strncmp(text, CGROUP_ENTRY, strlen(CGROUP_ENTRY)) == 0 ? text + strlen(CGROUP_ENTRY)
								      : NULL;
	if (!path || path[0] != '/' || path[1] == '\n')
		return NULL;
	return xasprintf(CGROUP_ROOT "%.*s", (int)strcspn(path, "\n"), path);
}

/* A file of the sessions' cgroup, "" for itself; NULL when there is none. The caller's. */
static char *cgroup_path(const char *file)
{
	auto_free char *base = cgroup_base();

	return base ? xasprintf("%s/sessions%s%s", base, *file ? "/" : "", file) : NULL;
}

/* What sessions use can be told apart from what the system uses, and the user may divide it
 * further. Below a service no controllers are handed on: the kernel wants no processes then where
 * the service itself is, and there it is started again. */
static int make_cgroup(const struct user *user, enum agent_mode mode, struct err *err)
{
	static const char *const controllers[] = {"+cpu", "+memory", "+pids", "+io"};
	static const char *const delegated[] = {"", "cgroup.procs", "cgroup.threads",
						"cgroup.subtree_control"};
	auto_free char *sessions = cgroup_path("");

	if (!sessions)
		return err_set(err, ERR_UNSUPPORTED, "there is no cgroup for sessions");
	for (size_t i = 0; mode == AGENT_INIT && i < ARRAY_SIZE(controllers); i++)
		write_line(CGROUP_ROOT "/cgroup.subtree_control", controllers[i]);
	if (mkdir(sessions, 0755) < 0 && errno != EEXIST)
		return err_sys(err, "create %s", sessions);
	for (size_t i = 0; i < ARRAY_SIZE(delegated); i++) {
		auto_free char *path = cgroup_path(delegated[i]);

		if (!path || chown(path, user->uid, user->gid) < 0)
			return err_sys(err, "owner of %s", path ? path : sessions);
	}
	return 0;
}

int provision_open_cgroup(void)
{
	auto_free char *path = cgroup_path("");

	return path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
}

uint64_t provision_cpu_used(void)
{
	auto_free char *path = cgroup_path("cpu.stat");
	auto_close int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char text[64] = "";
	const char *at = text;
	uint64_t used = 0;

	/* "usage_usec 123" is the first line. */
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || !number_skip(&at, "usage_usec ") ||
	    !number_take(&at, 10, UINT64_MAX, &used))
		return 0;
	return used;
}

/* What only PID 1 of a guest of ours may do to the system. */
static int make_system(const struct message_configure *configure, struct err *err)
{
	try(root_grow(err), err);
	try(identity_host_name(configure->hostname, err), err);
	try(identity_machine_id(configure->machine_id, err), err);
	try(identity_time_zone(configure->timezone, err), err);
	try(programs_show_to_logins(err), err);
	try(net_loopback(err), err);
	/* ping(8) for everybody, without privileges. */
	write_line("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
	if (configure->network)
		try(net_user_network(err), err);
	return home_make_account(configure, err);
}

int provision(const struct message_configure *configure, enum agent_mode mode,
	      struct shares *shares, struct nix_sources *ret_nix, struct err *err)
{
	auto_user struct user user = {.name = NULL};

	try(identity_seed(configure, err), err);
	if (mode == AGENT_INIT && make_system(configure, err) < 0)
		return err_wrap(err, "set up the guest");
	if (user_lookup(configure->user, &user, err) < 0 || home_make(&user, err) < 0 ||
	    (mode == AGENT_INIT && home_give_nix(&user, err) < 0))
		return err_wrap(err, "set up the guest's user");
	try(make_cgroup(&user, mode, err), err);
	if (shares_apply(shares, configure, &user, err) < 0)
		return -1;
	nix_sources_find(shares_nix_cache(configure), configure->network, ret_nix);
	return 0;
}
