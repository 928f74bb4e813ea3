/*
 * fork and exec by hand. posix_spawn cannot block signals across exec and set PDEATHSIG with the
 * re-check of the parent that makes it free of a race.
 *
 * Between fork and exec the child still has the parent's signal handlers, and with libuv's they
 * would write into a pipe that the parent reads. So all signals are blocked around the fork, and
 * the child unblocks them only after every handler is gone.
 *
 * Descriptors are placed in two passes: first every source is duplicated above all targets, then
 * each goes to its number, so that {3->4, 4->3} works. Everything else becomes close-on-exec, also
 * what our own caller left open to us: a shell's lock or a build tool's pipe must not live on in a
 * program that outlives us.
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
#include <sys/syscall.h>
#endif

#define ABOVE_ALL_TARGETS 64
#define FDS_MAX		  32
#define FD_LIMIT	  65536 /* of the descriptors that are looked at one by one */

extern char **environ;

/* What a child that could not start says through the pipe. */
enum step {
	STEP_SESSION,
	STEP_IDS,
	STEP_DIRECTORY,
	STEP_DESCRIPTORS,
	STEP_SIGNALS,
	STEP_PARENT,
	STEP_EXEC,
};

struct failure {
	enum step step;
	int sys;
};

static void close_others_on_exec(void)
{
	long limit;

#if defined(__linux__) && defined(SYS_close_range)
	if (syscall(SYS_close_range, 3u, ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC */) == 0)
		return;
#endif
	limit = sysconf(_SC_OPEN_MAX);
	if (limit < 0 || limit > FD_LIMIT)
		limit = FD_LIMIT;
	for (int fd = 3; fd < limit; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int place_fds(const struct spawn *spawn)
{
	int high[FDS_MAX];
	bool named[3] = {false};

	close_others_on_exec();
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

	for (int number = 1; number < NSIG; number++) {
		struct sigaction action;
		bool known = sigaction(number, NULL, &action) == 0;

		/* What is ignored stays so (nohup), but for two that programs rely on. */
		if (known &&
		    (action.sa_handler != SIG_IGN || number == SIGPIPE || number == SIGCHLD))
			(void)signal(number, SIG_DFL);
	}
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

/* All that lies between fork and exec. Returns only on failure, with errno. */
static enum step prepare_and_exec(const struct spawn *spawn, pid_t parent)
{
	if (spawn->new_session && setsid() < 0)
		return STEP_SESSION;
	if (spawn->change_ids && become(spawn->uid, spawn->gid) < 0)
		return STEP_IDS;
	if (spawn->directory && chdir(spawn->directory) < 0)
		return STEP_DIRECTORY;
	if (place_fds(spawn) < 0)
		return STEP_DESCRIPTORS;
	if (set_signals(spawn->block_signals) < 0)
		return STEP_SIGNALS;
	if (spawn->die_with_parent && tie_to_parent(parent) < 0)
		return STEP_PARENT;
	if (spawn->environment)
		environ = (char **)(uintptr_t)spawn->environment;
	(void)execvp(spawn->program, spawn->arguments);
	return STEP_EXEC;
}

/* In the child: only async-signal-safe calls. */
static _Noreturn void run_child(const struct spawn *spawn, pid_t parent, int report)
{
	struct failure failure = {.step = prepare_and_exec(spawn, parent)};

	failure.sys = errno;
	(void)!write(report, &failure, sizeof(failure));
	_exit(127);
}

static int explain(const struct spawn *spawn, const struct failure *failure, struct err *err)
{
	static const char *const steps[] = {
	    [STEP_SESSION] = "start a session",	   [STEP_IDS] = "change user",
	    [STEP_DIRECTORY] = "change directory", [STEP_DESCRIPTORS] = "hand over descriptors",
	    [STEP_SIGNALS] = "set signals",	   [STEP_PARENT] = "tie it to its parent",
	};

	errno = failure->sys;
	if (failure->step == STEP_DIRECTORY) {
		(void)err_sys(err, "change to directory %s", spawn->directory);
		return err_wrap(err, "run %s", spawn->program);
	}
	if (failure->step != STEP_EXEC) {
		(void)err_sys(err, "%s", steps[failure->step]);
		return err_wrap(err, "run %s", spawn->program);
	}
	(void)err_sys(err, "run %s", spawn->program);
	if (failure->sys == ENOENT)
		err->code = ERR_NOT_FOUND;
	return -1;
}

/* fork with all signals blocked; the parent's mask is as before afterwards. */
static pid_t fork_quietly(const struct spawn *spawn, int report)
{
	pid_t parent = getpid();
	sigset_t all;
	sigset_t before;
	pid_t pid;
	int sys;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		run_child(spawn, parent, report);
	sys = errno;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	errno = sys;
	return pid;
}

static int check_fds(const struct spawn *spawn, struct err *err)
{
	if (spawn->fd_count > FDS_MAX)
		return err_set(err, ERR_INVALID, "run %s: %zu descriptors, at most %d can be given",
			       spawn->program, spawn->fd_count, FDS_MAX);
	for (size_t i = 0; i < spawn->fd_count; i++)
		if (spawn->fds[i].child < 0 || spawn->fds[i].child >= ABOVE_ALL_TARGETS)
			return err_set(err, ERR_INVALID,
				       "run %s: descriptor number %d is not in 0 to %d",
				       spawn->program, spawn->fds[i].child, ABOVE_ALL_TARGETS - 1);
	return 0;
}

pid_t spawn_start(const struct spawn *spawn, struct err *err)
{
	struct failure failure;
	int ends[2];
	ssize_t n;
	pid_t pid;

	if (check_fds(spawn, err) < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, "pipe");
	auto_close int from_child = ends[0];
	/* Above every target, so that placing descriptors cannot overwrite it. */
	auto_close int report = fcntl(ends[1], F_DUPFD_CLOEXEC, ABOVE_ALL_TARGETS);
	(void)close(ends[1]);
	if (report < 0)
		return err_sys(err, "duplicate pipe");
	pid = fork_quietly(spawn, report);
	if (pid < 0)
		return err_sys(err, "fork");
	close_fd(&report);
	do
		n = read(from_child, &failure, sizeof(failure));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return pid;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof(failure))
		failure = (struct failure){.step = STEP_EXEC, .sys = EIO};
	return explain(spawn, &failure, err);
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
