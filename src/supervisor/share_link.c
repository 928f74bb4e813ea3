#include "supervisor/share_link.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define RESTARTS_MAX 5
#define ORPHANS_NAME "orphans"
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
};

struct share_link {
	uv_signal_t child;
	struct share_link_spec spec;
	int project_fd;
	int orphans_fd;
	int state_fd; /* the server's memory, for the next one (share_state.h) */
	pid_t pid;    /* 0: none */
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

static int start_server(struct share_link *share, struct err *err)
{
	const struct guest_ids *ids = share->spec.ids;
	auto_free char *self = path_self(err);
	auto_free char *guest = xasprintf("%u:%u", ids->guest_uid, ids->guest_gid);
	auto_free char *project = xasprintf("1:%d:devbox", SERVER_PROJECT);
	char *const argv[] = {self,
			      (char[]){SHARE_SERVER_COMMAND},
			      (char[]){"--port"},
			      (char[]){"3"},
			      (char[]){"--share"},
			      project,
			      (char[]){"--orphans"},
			      (char[]){"5"},
			      (char[]){"--hidden"},
			      (char[]){"6"},
			      (char[]){"--guest"},
			      guest,
			      (char[]){"--state"},
			      (char[]){"7"},
			      NULL};
	const struct spawn_fd fds[] = {
	    {share->spec.port_fd, SERVER_PORT},	 {share->project_fd, SERVER_PROJECT},
	    {share->orphans_fd, SERVER_ORPHANS}, {share->spec.data_dir, SERVER_HIDDEN},
	    {share->state_fd, SERVER_STATE},	 {log_fd(), STDERR_FILENO},
	};
	const struct spawn spawn = {
	    .program = self,
	    .arguments = argv,
	    .directory = "/",
	    .fds = fds,
	    .fd_count = log_fd() < 0 ? ARRAY_SIZE(fds) - 1 : ARRAY_SIZE(fds),
	    .block_signals = true,
	    .die_with_parent = true,
	};
	pid_t pid;

	if (!self)
		return -1;
	pid = spawn_start(&spawn, err);
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

int share_link_start(uv_loop_t *loop, const struct share_link_spec *spec,
		     void (*failed)(void *ctx, const char *text), void *ctx,
		     struct share_link **ret_share, struct err *err)
{
	struct share_link *share = xcalloc(1, sizeof(*share));

	*share = (struct share_link){.spec = *spec,
				     .failed = failed,
				     .ctx = ctx,
				     .project_fd = -1,
				     .orphans_fd = -1,
				     .state_fd = -1};
	(void)uv_signal_init(loop, &share->child);
	share->child.data = share;
	(void)uv_signal_start(&share->child, on_child, SIGCHLD);
	if (file_open_dir(AT_FDCWD, spec->project->root, &share->project_fd, err) < 0 ||
	    open_orphans(spec->data_dir, spec->ids, &share->orphans_fd, err) < 0 ||
	    open_state(spec->data_dir, &share->state_fd, err) < 0 || start_server(share, err) < 0) {
		share_link_free(share);
		return -1;
	}
	*ret_share = share;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
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
	cleanup_close(&share->orphans_fd);
	cleanup_close(&share->state_fd);
	(void)uv_signal_stop(&share->child);
	uv_close((uv_handle_t *)&share->child, on_closed);
}
