#pragma once
/*
 * Whether a supervisor lives, and where it listens. The truth is an flock on the file `lock` of the
 * data directory, never a bare pid: it goes when the supervisor goes, however that happens. The
 * file's text is only an address: "socket PATH" and "pid N", a line each.
 */
#include "base/err.h"
#include "project/project.h"

#include <sys/types.h>

/* How a supervisor is started: this program, as "dxvm supervise ROOT DATA_DIR", with the lock and
 * the writing end of a pipe as these descriptors. It writes "ok\n" to the pipe once it listens,
 * else why it will not. With a third word, "--dry-run", it prints what it would run and needs
 * neither; with LIVE_PREVIOUS, it boots the system before the present one. */
#define LIVE_PREVIOUS "--previous"
#define LIVE_COMMAND  "supervise"
#define LIVE_LOCK_FD  3
#define LIVE_READY_FD 4
#define LIVE_OK	      "ok\n"

/* And the process that runs an installer, as "dxvm install-guest ROOT DATA_DIR"
 * (supervisor/installer.h). */
#define LIVE_INSTALL_COMMAND "install-guest"

struct live {
	char *socket; /* NULL: not listening yet */
	pid_t pid;
};

/* Takes the lock: from now on, whoever holds this descriptor (or inherits it) is the supervisor.
 * ERR_BUSY: there is one. */
int live_take(int data_dir, int *ret_lock, struct err *err);
/* The same for who wants to change what lies there; the error says what to do. */
int live_take_stopped(const struct project *project, int data_dir, int *ret_lock, struct err *err);
int live_write(int lock, const char *socket, struct err *err);

/* What the file says; of use only while the lock is held by somebody. */
int live_read(int data_dir, struct live *ret_live, struct err *err);
void live_done(struct live *live);
#define auto_live CLEANUP(live_done)
