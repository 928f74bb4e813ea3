/*
 * fork and exec by hand. posix_spawn cannot block signals across exec and set PDEATHSIG with the
 * re-check of the parent that makes it free of a race.
 *
 * Descriptors are placed in two passes: first every source is duplicated above all targets, then
 * each goes to its number, so that {3->4, 4->3} works. Everything else is close-on-exec by the
 * convention of the whole program.
 */
#include "base/spawn.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#define ABOVE_ALL_TARGETS 64
#define FDS_MAX		  32

extern char **environ;

static int place_fds(const struct spawn *spawn)
{
	int high[FDS_MAX];
	bool named[3] = {false};

	if (spawn->fd_count > FDS_MAX) {
		errno = E2BIG;
		return -1;
	}
	for (size_t i = 0; i < spawn->fd_count; i++) {
		high[i] = fcntl(spawn->fds[i].parent, F_DUPFD_CLOEXEC, ABOVE_ALL_TARGETS);
		if (high[i] < 0)
			return -1;
		if (spawn->fds[i].child < 3)
			named[spawn->fds[i].child] = true;
	}
	for (int fd = 0; fd < 3; fd++) {
		int null = named[fd] ? -1 : open("/dev/null", O_RDWR);

		if (null >= 0 && null != fd) {
			if (dup2(null, fd) < 0)
				return -1;
			(void)close(null);
		}
	}
	for (size_t i = 0; i < spawn->fd_count; i++)
		if (dup2(high[i], spawn->fds[i].child) < 0)
			return -1;
	return 0;
}

static int set_signals(bool block)
{
	sigset_t set;

	/* Handlers become default on exec by themselves; an ignored SIGPIPE would stay ignored. */
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigemptyset(&set);
	if (block) {
		(void)sigaddset(&set, SIGTERM);
		(void)sigaddset(&set, SIGHUP);
		(void)sigaddset(&set, SIGINT);
	}
	return sigprocmask(SIG_SETMASK, &set, NULL);
}

static int tie_to_parent(pid_t parent)
{
#ifdef __linux__
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -1;
#endif
	if (getppid() != parent)
		_exit(0);
	return 0;
}

static int become(uid_t uid, gid_t gid)
{
	return setgroups(0, NULL) < 0 || setgid(gid) < 0 || setuid(uid) < 0 ? -1 : 0;
}

/* In the child: only async-signal-safe calls. Reports errno through the pipe if exec is not
 * reached. */
static _Noreturn void run_child(const struct spawn *spawn, pid_t parent, int report)
{
	int failure;

	if (spawn->new_session)
		(void)setsid();
	if ((spawn->change_ids && become(spawn->uid, spawn->gid) < 0) ||
	    (spawn->directory && chdir(spawn->directory) < 0) || place_fds(spawn) < 0 ||
	    set_signals(spawn->block_signals) < 0 ||
	    (spawn->die_with_parent && tie_to_parent(parent) < 0)) {
		failure = errno;
	} else {
		environ = spawn->environment ? (char **)(uintptr_t)spawn->environment : environ;
		(void)execvp(spawn->program, spawn->arguments);
		failure = errno;
	}
	(void)!write(report, &failure, sizeof(failure));
	_exit(127);
}

pid_t spawn_start(const struct spawn *spawn, struct err *err)
{
	pid_t parent = getpid();
	int ends[2];
	int failure;
	ssize_t n;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, "pipe");
	auto_close int from_child = ends[0];
	/* Above every target, so that placing descriptors cannot overwrite it. */
	auto_close int report = fcntl(ends[1], F_DUPFD_CLOEXEC, ABOVE_ALL_TARGETS + FDS_MAX);
	(void)close(ends[1]);
	if (report < 0)
		return err_sys(err, "duplicate pipe");
	pid = fork();
	if (pid < 0)
		return err_sys(err, "fork");
	if (pid == 0)
		run_child(spawn, parent, report);
	(void)close(take_fd(&report));
	do
		n = read(from_child, &failure, sizeof(failure));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return pid;
	(void)waitpid(pid, NULL, 0);
	errno = n == (ssize_t)sizeof(failure) ? failure : EIO;
	(void)err_sys(err, "run %s", spawn->program);
	if (errno == ENOENT)
		err->code = ERR_NOT_FOUND;
	return -1;
}

char *spawn_describe(int wait_status)
{
	if (WIFEXITED(wait_status))
		return xasprintf("exited with status %d", WEXITSTATUS(wait_status));
	if (WIFSIGNALED(wait_status))
		return xasprintf("was killed by signal %d (%s)", WTERMSIG(wait_status),
				 strsignal(WTERMSIG(wait_status)));
	return xasprintf("ended with wait status %#x", (unsigned int)wait_status);
}
