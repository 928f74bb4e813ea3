/*
 * Each test starts a small program and reads what it says of itself: its descriptors, its mask, its
 * ids. An alarm ends a test program that would wait for ever.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "unit/temp_dir.h"
#include "unit/test.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <sys/wait.h>

#define LIMIT_SECONDS 25
/* argv wants strings that are not const. */
#define WORD(literal) ((char[]){literal})

static char *read_to_end(int fd)
{
	struct buf buf;
	char chunk[4096];

	buf_init(&buf, 1 << 20);
	for (ssize_t n = read(fd, chunk, sizeof(chunk)); n > 0; n = read(fd, chunk, sizeof(chunk)))
		(void)buf_append(&buf, chunk, (size_t)n);
	return buf_take_string(&buf);
}

/* Runs `sh -c script` with its stdout on a pipe; what it wrote. */
static char *output_of(struct spawn spawn, const char *script)
{
	char *const arguments[] = {WORD("sh"), WORD("-c"), xstrdup(script), NULL};
	struct err err = ERR_INIT;
	int ends[2];
	pid_t pid;

	(void)alarm(LIMIT_SECONDS);
	if (pipe2(ends, O_CLOEXEC) < 0)
		exit(1);
	spawn.program = "sh";
	spawn.arguments = arguments;
	spawn.fds = (struct spawn_fd[]){{ends[1], 1}};
	spawn.fd_count = 1;
	pid = spawn_start(&spawn, &err);
	CHECK(pid > 0);
	(void)close(ends[1]);
	char *text = read_to_end(ends[0]);
	(void)close(ends[0]);
	(void)waitpid(pid, NULL, 0);
	free(arguments[2]);
	return text;
}

static void descriptors_are_placed_even_when_they_cross(void)
{
	char *const arguments[] = {WORD("sh"), WORD("-c"),
				   WORD("echo to three >&3; echo to four >&4"), NULL};
	struct err err = ERR_INIT;
	int a[2];
	int b[2];
	pid_t pid;

	(void)alarm(LIMIT_SECONDS);
	if (pipe2(a, O_CLOEXEC) < 0 || pipe2(b, O_CLOEXEC) < 0)
		exit(1);
	a[0] = fcntl(a[0], F_DUPFD_CLOEXEC, 10);
	a[1] = fcntl(a[1], F_DUPFD_CLOEXEC, 10);
	b[0] = fcntl(b[0], F_DUPFD_CLOEXEC, 10);
	b[1] = fcntl(b[1], F_DUPFD_CLOEXEC, 10);
	for (int fd = 3; fd < 10; fd++)
		(void)close(fd);
	CHECK_INT(dup2(a[1], 3), 3);
	CHECK_INT(dup2(b[1], 4), 4);
	(void)close(a[1]);
	(void)close(b[1]);
	pid = spawn_start(&(struct spawn){.program = "sh",
					  .arguments = arguments,
					  .fds = (struct spawn_fd[]){{3, 4}, {4, 3}},
					  .fd_count = 2},
			  &err);
	CHECK(pid > 0);
	(void)close(3);
	(void)close(4);
	auto_free char *from_a = read_to_end(a[0]);
	auto_free char *from_b = read_to_end(b[0]);
	CHECK_STR(from_a, "to four\n");
	CHECK_STR(from_b, "to three\n");
	(void)waitpid(pid, NULL, 0);
	(void)close(a[0]);
	(void)close(b[0]);
}

static void only_named_descriptors_reach_the_program(void)
{
	/* Not close-on-exec: such as a shell or a build tool leaves open to us. */
	int stray = fcntl(STDERR_FILENO, F_DUPFD, 50);
	int far = fcntl(STDERR_FILENO, F_DUPFD, 200);
	auto_free char *listed =
	    output_of((struct spawn){0}, "readlink /proc/$$/fd/0; readlink /proc/$$/fd/2; fd=3;"
					 "while [ $fd -lt 300 ]; do"
					 " [ ! -e /proc/$$/fd/$fd ] || echo $fd;"
					 " fd=$((fd + 1)); done");

	/* The first three only; what the shell opens for itself it closes again. */
	CHECK_STR(listed, "/dev/null\n/dev/null\n");
	(void)close(stray);
	(void)close(far);
}

static void it_works_with_standard_descriptors_closed(void)
{
	int saved[3];

	for (int fd = 0; fd < 3; fd++) {
		saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 20);
		(void)close(fd);
	}
	auto_free char *text = output_of((struct spawn){0}, "readlink /proc/$$/fd/0; echo hi");
	for (int fd = 0; fd < 3; fd++) {
		(void)dup2(saved[fd], fd);
		(void)close(saved[fd]);
	}
	CHECK_STR(text, "/dev/null\nhi\n");
}

static unsigned long long mask_in(const char *status, const char *name)
{
	const char *line = strstr(status, name);

	return line ? strtoull(line + strlen(name), NULL, 16) : ~0ull;
}

static void do_nothing(int number)
{
	(void)number;
}

static void signals_are_blocked_or_default_as_asked_for(void)
{
	const unsigned long long three =
	    1ull << (SIGTERM - 1) | 1ull << (SIGHUP - 1) | 1ull << (SIGINT - 1);
	sigset_t mask;
	sigset_t after;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGUSR1, SIG_IGN);
	(void)signal(SIGTERM, do_nothing);
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGUSR2);
	(void)sigprocmask(SIG_SETMASK, &mask, NULL);
	auto_free char *blocked =
	    output_of((struct spawn){.block_signals = true}, "exec cat /proc/self/status");
	auto_free char *open = output_of((struct spawn){0}, "exec cat /proc/self/status");
	(void)sigprocmask(SIG_SETMASK, NULL, &after);
	CHECK_INT(mask_in(blocked, "SigBlk:"), three);
	CHECK_INT(mask_in(open, "SigBlk:"), 0);
	CHECK_INT(mask_in(open, "SigIgn:") & 1ull << (SIGPIPE - 1), 0);
	CHECK(mask_in(open, "SigIgn:") & 1ull << (SIGUSR1 - 1));
	CHECK(sigismember(&after, SIGUSR2) && !sigismember(&after, SIGTERM));
	(void)sigemptyset(&mask);
	(void)sigprocmask(SIG_SETMASK, &mask, NULL);
	(void)signal(SIGTERM, SIG_DFL);
}

static void a_missing_program_is_an_error_and_no_child_is_left(void)
{
	char *const arguments[] = {WORD("x"), NULL};
	struct err err = ERR_INIT;

	CHECK_INT(spawn_start(&(struct spawn){.program = "/no/such", .arguments = arguments}, &err),
		  -1);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK_STR(err.text, "run /no/such: No such file or directory");
	CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
	CHECK_INT(errno, ECHILD);
}

static void what_failed_before_exec_is_named(void)
{
	char *const arguments[] = {WORD("true"), NULL};
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	auto_free char *plain = xasprintf("%s/plain", dir.path);
	struct err err = ERR_INIT;
	struct spawn spawn = {.program = "true", .arguments = arguments, .directory = "/no/dir"};

	CHECK_INT(spawn_start(&spawn, &err), -1);
	CHECK_STR(err.text, "run true: change to directory /no/dir: No such file or directory");
	CHECK_INT(err.code, ERR_SYSTEM);
	temp_dir_put_text(&dir, "plain", "no program");
	CHECK_INT(spawn_start(&(struct spawn){.program = plain, .arguments = arguments}, &err), -1);
	CHECK_INT(err.sys, EACCES);
	spawn = (struct spawn){.program = "true",
			       .arguments = arguments,
			       .fds = (struct spawn_fd[]){{1023, 1}},
			       .fd_count = 1};
	CHECK_INT(spawn_start(&spawn, &err), -1);
	CHECK_STR(err.text, "run true: hand over descriptors: Bad file descriptor");
	spawn.fds = (struct spawn_fd[]){{1, 64}};
	CHECK_INT(spawn_start(&spawn, &err), -1);
	CHECK_INT(err.code, ERR_INVALID);
	spawn.fd_count = 33;
	CHECK_INT(spawn_start(&spawn, &err), -1);
	CHECK_INT(err.code, ERR_INVALID);
}

static void directory_and_environment_are_as_asked_for(void)
{
	char *const environment[] = {WORD("PATH=/usr/bin:/bin"), WORD("ONLY=this"), NULL};
	auto_free char *text =
	    output_of((struct spawn){.directory = "/usr", .environment = environment},
		      "pwd; echo \"$ONLY\"; echo \"${HOME-none}\"");

	CHECK_STR(text, "/usr\nthis\nnone\n");
}

static void a_new_session_has_the_program_as_its_leader(void)
{
	char *const arguments[] = {WORD("cat"), NULL};
	struct err err = ERR_INIT;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		exit(1);
	pid = spawn_start(&(struct spawn){.program = "cat",
					  .arguments = arguments,
					  .fds = (struct spawn_fd[]){{ends[0], 0}},
					  .fd_count = 1,
					  .new_session = true},
			  &err);
	CHECK(pid > 0);
	CHECK_INT(getsid(pid), pid);
	(void)close(ends[0]);
	(void)close(ends[1]);
	(void)waitpid(pid, NULL, 0);
}

/* A parent that starts a program which would run for ever, and dies. */
static _Noreturn void start_and_die(int pipe_end)
{
	char *const arguments[] = {WORD("sleep"), WORD("1000"), NULL};
	struct err err = ERR_INIT;
	pid_t pid = spawn_start(&(struct spawn){.program = "sleep",
						.arguments = arguments,
						.fds = (struct spawn_fd[]){{pipe_end, 1}},
						.fd_count = 1,
						.die_with_parent = true},
				&err);
	if (pid > 0)
		(void)!write(pipe_end, "started", 7);
	(void)kill(getpid(), SIGKILL);
	_exit(1);
}

static void the_program_dies_with_its_parent(void)
{
	int ends[2];
	pid_t parent;

	(void)alarm(LIMIT_SECONDS);
	if (pipe2(ends, O_CLOEXEC) < 0)
		exit(1);
	parent = fork();
	if (parent == 0)
		start_and_die(ends[1]);
	(void)close(ends[1]);
	/* The end comes only when nobody holds the pipe any more. */
	auto_free char *text = read_to_end(ends[0]);
	CHECK_STR(text, "started");
	(void)waitpid(parent, NULL, 0);
	(void)close(ends[0]);
}

static void ids_are_changed_without_keeping_groups(void)
{
	const gid_t group = 4;

	if (geteuid() != 0)
		SKIP("only root can become somebody else");
	CHECK_INT(setgroups(1, &group), 0);
	auto_free char *text = output_of(
	    (struct spawn){.change_ids = true, .uid = 65534, .gid = 65533}, "id -u; id -g; id -G");
	CHECK_STR(text, "65534\n65533\n65533\n");
}

static void a_wait_status_is_put_into_words(void)
{
	auto_free char *left = spawn_describe(3 << 8);
	auto_free char *killed = spawn_describe(SIGKILL);

	CHECK_STR(left, "exited with status 3");
	CHECK_STR(killed, "was killed by signal 9 (Killed)");
}

TEST_MAIN(TEST(descriptors_are_placed_even_when_they_cross),
	  TEST(only_named_descriptors_reach_the_program),
	  TEST(it_works_with_standard_descriptors_closed),
	  TEST(signals_are_blocked_or_default_as_asked_for),
	  TEST(a_missing_program_is_an_error_and_no_child_is_left),
	  TEST(what_failed_before_exec_is_named), TEST(directory_and_environment_are_as_asked_for),
	  TEST(a_new_session_has_the_program_as_its_leader), TEST(the_program_dies_with_its_parent),
	  TEST(ids_are_changed_without_keeping_groups), TEST(a_wait_status_is_put_into_words))
