/*
 * Theory of operation. Everything that needs memory is made before the child is: who to become, the
 * environment, the paths to try. The child then makes system calls only, since other threads may
 * have held locks. It enters directories and looks programs up as the user it became, and in the
 * child alone: a file system that hangs there must not hold the agent.
 *
 * The child is born in its cgroup. To be moved there takes a grace period of RCU, some 25 ms. The C
 * library does not know of a child that was made like this: what it would do in all threads, which
 * are not there, is asked of the kernel.
 *
 * Failures travel back as struct session_report through a pipe that closes on exec.
 */
#include "agent/session_internal.h"

#include "agent/environment.h"
#include "base/fingerprint.h"
#include "base/mem.h"
#include "base/path.h"
#include "wire/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define CLOSE_ON_EXEC (1u << 2) /* CLOSE_RANGE_CLOEXEC, Linux 5.11 */

struct plan {
	struct user user;
	bool become;
	const char *directories[3]; /* tried in this order; the first is the one wanted */
	char *directory;	    /* the first of them */
	char **arguments;	    /* borrowed from the message, or own_arguments */
	char *own_arguments[2];
	char **candidates; /* paths to execute, in order */
	char **environment;
	int fds[3]; /* become 0, 1, 2 */
	bool tty;
	const sigset_t *ignored;
	bool is_spared;
	int note;   /* of the session */
	int report; /* above FINGERPRINT_FD */
};

static void plan_done(struct plan *plan)
{
	user_done(&plan->user);
	free(plan->directory);
	free(plan->own_arguments[0]);
	msg_free_strings(plan->candidates);
	msg_free_strings(plan->environment);
}

/* As execvp would: the name itself if it has a slash, else one path a directory in PATH. */
static char **find_candidates(const char *program, const char *path)
{
	size_t count = 1;
	size_t used = 0;
	char **candidates;

	for (const char *c = path; *c; c++)
		count += *c == ':';
	candidates = xcalloc(count + 1, sizeof(*candidates));
	if (strchr(program, '/') || *program == '\0') {
		candidates[0] = xstrdup(program);
		return candidates;
	}
	for (const char *c = path; used < count; c += strcspn(c, ":") + 1) {
		auto_free char *directory = xstrndup(c, strcspn(c, ":"));

		candidates[used++] = path_join(*directory ? directory : ".", program);
	}
	return candidates;
}

static void choose_arguments(struct plan *plan, const struct message_session *wanted)
{
	const char *path = environment_get(plan->environment, "PATH");

	plan->arguments = wanted->arguments;
	if (wanted->arguments[0]) {
		plan->candidates = find_candidates(wanted->arguments[0], path ? path : "");
		return;
	}
	plan->own_arguments[0] =
	    xasprintf("%s%s", wanted->login ? "-" : "", path_base(plan->user.shell));
	plan->arguments = plan->own_arguments;
	plan->candidates = find_candidates(plan->user.shell, "");
}

/* A relative directory is one of the project's. */
static char *start_directory(const char *project, const char *wanted)
{
	if (wanted[0] == '/')
		return xstrdup(wanted);
	return wanted[0] ? path_join(project, wanted) : xstrdup(project);
}

static int make_plan(const struct sessions *sessions, const struct message_session *wanted,
		     struct plan *plan, struct err *err)
{
	plan->become = !sessions->as_self;
	if (sessions->as_self)
		user_self(&plan->user);
	else if (user_lookup(*wanted->user ? wanted->user : sessions->user, &plan->user, err) < 0)
		return -1;
	plan->environment = environment_make(&plan->user, sessions->as_self ? getenv("PATH") : NULL,
					     &sessions->nix, wanted->tty, wanted->environment);
	choose_arguments(plan, wanted);
	plan->directory =
	    start_directory(sessions->project ? sessions->project : plan->user.home, wanted->cwd);
	plan->directories[0] = plan->directory;
	plan->directories[1] = plan->user.home;
	plan->directories[2] = "/";
	plan->tty = wanted->tty;
	plan->ignored = &sessions->ignored;
	plan->is_spared = sessions->is_spared;
	return 0;
}

static void say(const char *text)
{
	(void)!write(STDERR_FILENO, text, strlen(text));
}

static void enter_directory(const struct plan *plan)
{
	int failure;

	if (chdir(plan->directories[0]) == 0)
		return;
	failure = errno;
	for (size_t i = 1; i < ARRAY_SIZE(plan->directories); i++) {
		if (chdir(plan->directories[i]) < 0)
			continue;
		say("dxvm: cannot enter ");
		say(plan->directories[0]);
		say(" in the guest: ");
		say(strerror(failure));
		say("; starting in ");
		say(plan->directories[i]);
		say("\n");
		return;
	}
}

/* For the kernel's choice when memory is short. The agent may be dear, what runs in it is not. */
static void be_as_others(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, "0", 1);
	cleanup_close(&fd);
}

static int prepare_child(const struct plan *plan)
{
	if (plan->is_spared)
		be_as_others();
	for (int i = 1; i < NSIG; i++)
		if (sigismember(plan->ignored, i))
			(void)signal(i, SIG_DFL);
	if (setsid() < 0 || (plan->tty && ioctl(plan->fds[0], TIOCSCTTY, 0) < 0))
		return -1;
	for (int fd = 0; fd < 3; fd++)
		if (dup2(plan->fds[fd], fd) < 0)
			return -1;
	(void)syscall(SYS_close_range, 3u, ~0u, CLOSE_ON_EXEC);
	if (!session_note_give(plan->note))
		return -1;
	if (plan->become &&
	    (syscall(SYS_setgroups, plan->user.group_count, plan->user.groups) < 0 ||
	     syscall(SYS_setgid, plan->user.gid) < 0 || syscall(SYS_setuid, plan->user.uid) < 0))
		return -1;
	if (plan->become)
		(void)umask(022);
	return 0;
}

static void try_candidates(const struct plan *plan, struct session_report *report)
{
	report->failed_exec = 1;
	report->error = ENOENT;
	for (char *const *path = plan->candidates; *path; path++) {
		/* Asked first: an exec that fails is dearer. */
		if (access(*path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
			continue;
		(void)execve(*path, plan->arguments, plan->environment);
		report->error = errno;
		report->exists = 1;
		if (report->error != EACCES)
			return;
	}
}

static _Noreturn void run_child(const struct plan *plan)
{
	struct session_report report = {.error = 0};
	sigset_t none;

	(void)sigemptyset(&none);
	if (prepare_child(plan) < 0) {
		report.error = errno;
	} else {
		enter_directory(plan);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		try_candidates(plan, &report);
	}
	(void)!write(plan->report, &report, sizeof(report));
	_exit(127);
}

/* As fork. cgroup: a directory, or -1. Where the kernel lets no process in, since the user divided it
 * further, the child is in that of the agent. */
static pid_t fork_into(int cgroup)
{
	struct clone_args args = {
	    .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (__u64)cgroup};
	long pid = cgroup < 0 ? -1 : syscall(SYS_clone3, &args, sizeof(args));

	return pid < 0 ? fork() : (pid_t)pid;
}

/* A pipe whose end in the agent does not block; both above the standard ones and gone on exec. */
static int make_pipe(int *ret_ours, int *ret_child, bool we_read, struct err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, "make a pipe");
	*ret_ours = ends[we_read ? 0 : 1];
	*ret_child = ends[we_read ? 1 : 0];
	if (fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0) /* it has no other flags */
		return err_sys(err, "make a pipe");
	return 0;
}

/* The child's ends go to fds, which the caller closes; ours are the session's at once. */
static int make_pipes(struct session *session, uid_t owner, int *fds, struct err *err)
{
	if (make_pipe(&session->input.fd, &fds[0], false, err) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		if (make_pipe(&session->output[i].watch.fd, &fds[i + 1], true, err) < 0)
			return -1;
	/* So that /dev/stdout and its like can be opened by the user they are for. */
	for (int i = 0; i < 3; i++)
		if (owner != getuid() && fchown(fds[i], owner, (gid_t)-1) < 0)
			return err_sys(err, "give away a pipe");
	return 0;
}

static int spawn_planned(struct session *session, struct plan *plan, struct err *err)
{
	int fds[3] = {-1, -1, -1};
	auto_close int low = -1;
	auto_close int report = -1;
	uid_t owner = plan->become ? plan->user.uid : getuid();
	int made;

	if (make_pipe(&session->report.fd, &low, true, err) < 0)
		return -1;
	report =
	    low > FINGERPRINT_FD ? take_fd(&low) : fcntl(low, F_DUPFD_CLOEXEC, FINGERPRINT_FD + 1);
	if (report < 0)
		return err_sys(err, "make a pipe");
	if (session->tty)
		made = session_tty_make(session, owner, err);
	else
		made = make_pipes(session, owner, fds, err);
	for (int i = 0; i < 3; i++)
		plan->fds[i] = session->tty ? session->slave : fds[i];
	plan->note = session->note;
	plan->report = report;
	if (made == 0) {
		session->pid = fork_into(session->all->cgroup);
		if (session->pid == 0)
			run_child(plan);
		if (session->pid < 0)
			made = err_sys(err, "start a process");
	}
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	return made;
}

int session_spawn(struct session *session, const struct message_session *wanted,
		  enum proto_reject *ret_code, struct err *err)
{
	struct plan plan CLEANUP(plan_done) = {.become = false};

	if (make_plan(session->all, wanted, &plan, err) < 0) {
		*ret_code = err->code == ERR_NOT_FOUND ? PROTO_NOT_FOUND : PROTO_FAILED;
		return -1;
	}
	if (session_note_make(wanted, &session->note, err) < 0 ||
	    spawn_planned(session, &plan, err) < 0) {
		*ret_code = PROTO_FAILED;
		return -1;
	}
	return 0;
}
