#include "supervisor/share_link.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/spawn.h"
#include "project/tools.h"
#include "supervisor/share_server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SERVER_ARGUMENTS 9 /* but for further shares and one of the kind's own */
#define SERVER_FDS	 7 /* likewise, with standard error */
#define RESTARTS_MAX	 5
#define QUIESCE_MS	 2000
#define ORPHANS_NAME	 "orphans"
#ifndef __linux__
#define STATE_NAME "share.state"
#endif

/* The server's descriptors. */
enum {
	SERVER_PORT = 3,
	SERVER_PROJECT = 4,
	SERVER_ORPHANS = 5,
	SERVER_HIDDEN = 6,
	SERVER_STATE = 7,
	SERVER_CONTROL = 8,
	SERVER_FURTHER = 9, /* and as many as there are, and one more of the kind's own */
};

struct share_link {
	uv_signal_t child;
	struct share_link_spec spec;
	int project_fd;
	int further[SHARE_LIST_MAX];
	int own_fd; /* boot/ or the programs, or -1 */
	int orphans_fd;
	int state_fd; /* the server's memory, for the next one (share_state.h) */
	uv_poll_t control;
	uv_timer_t limit;
	int open_handles;
	int control_fd;		  /* our end of enum share_control */
	int control_peer;	  /* the server's, kept for the next one */
	void (*quiet)(void *ctx); /* NULL: nobody waits for quiet */
	void *quiet_ctx;
	pid_t pid; /* 0: none */
	unsigned restarts;
	void (*failed)(void *ctx, const char *text);
	void *ctx;
};

/* Where files go that the guest removed while it had them open. It belongs to the ids the server
 * works with. */
static int open_orphans(int data_dir, const struct guest_ids *ids, int *ret_fd, struct err *err)
{
	auto_close int fd = -1;

	if (mkdirat(data_dir, ORPHANS_NAME, 0700) < 0 && errno != EEXIST)
		return err_sys(err, "create " ORPHANS_NAME);
	fd = openat(data_dir, ORPHANS_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || (geteuid() == 0 && fchown(fd, ids->host_uid, ids->host_gid) < 0))
		return err_sys(err, ORPHANS_NAME);
	/* Run by root for somebody else's project: the server is that somebody, and must be able to
	 * pass through the data directory to see what lies above it. Its files stay root's alone.
	 */
	if (geteuid() == 0 && ids->host_uid != 0 && fchmod(data_dir, 0711) < 0)
		return err_sys(err, "data directory");
	*ret_fd = take_fd(&fd);
	return 0;
}

static int open_state(int data_dir, int *ret_fd, struct err *err)
{
#ifdef __linux__
	int fd = memfd_create("share state", MFD_CLOEXEC);

	(void)data_dir;
#else
	int fd =
	    openat(data_dir, STATE_NAME, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	(void)unlinkat(data_dir, STATE_NAME, 0);
#endif
	if (fd < 0)
		return err_sys(err, "make room for the share server's state");
	*ret_fd = fd;
	return 0;
}

/* An option and a descriptor for each directory besides the project. The options are the caller's.
 */
static void add_further(const struct share_link *share, char **options, struct spawn_fd *fds)
{
	const struct share_list *list = share->spec.further;

	for (size_t i = 0; i < list->count; i++) {
		int fd = SERVER_FURTHER + (int)i;

		options[i] = xasprintf("--share=%d:%d%s", GUEST_CONFIG_FURTHER + (int)i, fd,
				       list->entries[i].read_only ? ":ro" : "");
		fds[i] = (struct spawn_fd){share->further[i], fd};
	}
	if (share->own_fd >= 0) {
		int fd = SERVER_FURTHER + (int)list->count;

		options[list->count] = share->spec.boot
					   ? xasprintf("--share=%d:%d:boot", GUEST_CONFIG_BOOT, fd)
					   : xasprintf("--share=%d:%d:ro", GUEST_CONFIG_TOOLS, fd);
		fds[list->count] = (struct spawn_fd){share->own_fd, fd};
	}
}

static int start_server(struct share_link *share, struct err *err)
{
	const struct guest_ids *ids = share->spec.ids;
	auto_free char *self = path_running(err);
	auto_free char *guest = xasprintf("--guest=%u:%u", ids->guest_uid, ids->guest_gid);
	auto_free char *project = xasprintf("--share=1:%d:devbox", SERVER_PROJECT);
	char *argv[SERVER_ARGUMENTS + SHARE_LIST_MAX + 2] = {
	    self,    (char[]){SHARE_SERVER_COMMAND}, (char[]){"--port=3"},
	    project, (char[]){"--orphans=5"},	     (char[]){"--hidden=6"},
	    guest,   (char[]){"--state=7"},	     (char[]){"--control=8"},
	};
	struct spawn_fd fds[SERVER_FDS + SHARE_LIST_MAX + 1] = {
	    {share->spec.port_fd, SERVER_PORT},	 {share->project_fd, SERVER_PROJECT},
	    {share->orphans_fd, SERVER_ORPHANS}, {share->spec.data_dir, SERVER_HIDDEN},
	    {share->state_fd, SERVER_STATE},	 {share->control_peer, SERVER_CONTROL},
	};
	size_t more = share->spec.further->count + (share->own_fd >= 0);
	size_t count = SERVER_FURTHER - SERVER_PORT + more;
	const struct spawn spawn = {
	    .program = self,
	    .arguments = argv,
	    .directory = "/",
	    .fds = fds,
	    .fd_count = log_fd() < 0 ? count : count + 1,
	    .block_signals = true,
	    .die_with_parent = true,
	};
	pid_t pid;

	if (!self)
		return -1;
	add_further(share, argv + SERVER_ARGUMENTS, fds + SERVER_FURTHER - SERVER_PORT);
	if (log_fd() >= 0)
		fds[count] = (struct spawn_fd){log_fd(), STDERR_FILENO};
	pid = spawn_start(&spawn, err);
	for (size_t i = 0; i < more; i++)
		free(argv[SERVER_ARGUMENTS + i]);
	if (pid < 0)
		return err_wrap(err, "share server");
	share->pid = pid;
	return 0;
}

static void on_child(uv_signal_t *handle, int signum)
{
	struct share_link *share = handle->data;
	struct err err = ERR_INIT;
	int status;

	(void)signum;
	if (share->pid == 0 || waitpid(share->pid, &status, WNOHANG) != share->pid)
		return;
	share->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return; /* the port was closed: the machine is going */
	auto_free char *how = spawn_describe(status);
	log_error("share", "the share server %s", how);
	if (share->restarts++ >= RESTARTS_MAX)
		share->failed(share->ctx, "the share server died too often; the project is out of "
					  "reach until the VM is started again");
	else if (start_server(share, &err) < 0)
		share->failed(share->ctx, err.text);
}

static void end_quiesce(struct share_link *share)
{
	void (*quiet)(void *ctx) = share->quiet;

	share->quiet = NULL;
	(void)uv_timer_stop(&share->limit);
	if (quiet)
		quiet(share->quiet_ctx);
}

static void on_control(uv_poll_t *poll, int status, int events)
{
	struct share_link *share = poll->data;
	char what;

	(void)events;
	if (status >= 0 && read(share->control_fd, &what, 1) == 1 && what == SHARE_CONTROL_QUIESCE)
		end_quiesce(share);
}

static void on_quiesce_limit(uv_timer_t *timer)
{
	log_warn("share", "requests are still under way; they will be sent again");
	end_quiesce(timer->data);
}

static void tell_server(struct share_link *share, char what)
{
	(void)!send(share->control_fd, &what, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void share_link_quiesce(struct share_link *share, void (*quiet)(void *ctx), void *ctx)
{
	share->quiet = quiet;
	share->quiet_ctx = ctx;
	tell_server(share, SHARE_CONTROL_QUIESCE);
	(void)uv_timer_start(&share->limit, on_quiesce_limit, QUIESCE_MS, 0);
}

void share_link_resume(struct share_link *share)
{
	tell_server(share, SHARE_CONTROL_RESUME);
}

int share_link_state(const struct share_link *share, int *ret_fd, struct err *err)
{
	int fd = fcntl(share->state_fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(err, "the share server's state");
	*ret_fd = fd;
	return 0;
}

static int open_control(uv_loop_t *loop, struct share_link *share, struct err *err)
{
	if (file_socketpair(&share->control_fd, &share->control_peer, err) < 0)
		return -1;
	(void)uv_poll_init(loop, &share->control, share->control_fd);
	(void)uv_timer_init(loop, &share->limit);
	share->control.data = share;
	share->limit.data = share;
	share->open_handles += 2;
	(void)uv_poll_start(&share->control, UV_READABLE, on_control);
	return 0;
}

static int open_further(struct share_link *share, struct err *err)
{
	const struct share_list *list = share->spec.further;

	for (size_t i = 0; i < list->count; i++)
		if (share_entry_open(&list->entries[i], &share->further[i], err) < 0)
			return err_wrap(err, "shares: `dxvm config share-=%s` takes it out",
					list->entries[i].path);
	return 0;
}

/* The share server works in it with ids that need not be ours. */
static int open_boot(struct share_link *share, struct err *err)
{
	const struct guest_ids *ids = share->spec.ids;

	if (!share->spec.boot)
		return 0;
	if (file_open_dir(share->spec.data_dir, "boot", &share->own_fd, err) < 0)
		return -1;
	if (geteuid() == 0 && fchown(share->own_fd, ids->host_uid, ids->host_gid) < 0)
		return err_sys(err, "owner of boot");
	return 0;
}

/* Without a devbox of this host's the guest does what it can; what is there already stays. */
static int open_tools(struct share_link *share, struct err *err)
{
	struct err why = ERR_INIT;
	bool there;

	if (!share->spec.tools)
		return 0;
	if (tools_open(&share->own_fd, err) < 0)
		return -1;
	if (tools_wanted() && tools_take_devbox(share->own_fd, &there, &why) < 0)
		log_warn("tools", "%s", why.text);
	return 0;
}

static int take_state(struct share_link *share, struct err *err)
{
	if (share->spec.state_fd < 0)
		return open_state(share->spec.data_dir, &share->state_fd, err);
	share->state_fd = fcntl(share->spec.state_fd, F_DUPFD_CLOEXEC, 0);
	return share->state_fd < 0 ? err_sys(err, "the share server's state") : 0;
}

int share_link_start(uv_loop_t *loop, const struct share_link_spec *spec,
		     void (*failed)(void *ctx, const char *text), void *ctx,
		     struct share_link **ret_share, struct err *err)
{
	struct share_link *share = xcalloc(1, sizeof(*share));

	*share = (struct share_link){.spec = *spec,
				     .failed = failed,
				     .ctx = ctx,
				     .project_fd = -1,
				     .own_fd = -1,
				     .orphans_fd = -1,
				     .state_fd = -1,
				     .control_fd = -1,
				     .control_peer = -1,
				     .open_handles = 1};
	for (size_t i = 0; i < SHARE_LIST_MAX; i++)
		share->further[i] = -1;
	(void)uv_signal_init(loop, &share->child);
	share->child.data = share;
	(void)uv_signal_start(&share->child, on_child, SIGCHLD);
	if (file_open_dir(AT_FDCWD, spec->project->root, &share->project_fd, err) < 0 ||
	    open_further(share, err) < 0 || open_boot(share, err) < 0 ||
	    open_tools(share, err) < 0 ||
	    open_orphans(spec->data_dir, spec->ids, &share->orphans_fd, err) < 0 ||
	    take_state(share, err) < 0 || open_control(loop, share, err) < 0 ||
	    start_server(share, err) < 0) {
		share_link_free(share);
		return -1;
	}
	*ret_share = share;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct share_link *share = handle->data;

	if (--share->open_handles == 0)
		free(share);
}

void share_link_free(struct share_link *share)
{
	if (!share)
		return;
	if (share->pid > 0) {
		(void)kill(share->pid, SIGKILL);
		(void)waitpid(share->pid, NULL, 0);
	}
	cleanup_close(&share->project_fd);
	for (size_t i = 0; i < SHARE_LIST_MAX; i++)
		cleanup_close(&share->further[i]);
	cleanup_close(&share->own_fd);
	cleanup_close(&share->orphans_fd);
	cleanup_close(&share->state_fd);
	if (share->control_fd >= 0) {
		(void)uv_poll_stop(&share->control);
		uv_close((uv_handle_t *)&share->control, on_closed);
		uv_close((uv_handle_t *)&share->limit, on_closed);
	}
	cleanup_close(&share->control_fd);
	cleanup_close(&share->control_peer);
	(void)uv_signal_stop(&share->child);
	uv_close((uv_handle_t *)&share->child, on_closed);
}
