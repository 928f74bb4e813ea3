#include "cli/session_signals.h"

#include "base/signals.h"
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

static const int watched[] = {SIGWINCH, SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGTSTP, SIGCONT};

#define PLAIN_COUNT (ARRAY_SIZE(watched) - 2)

static int write_end = -1;
static size_t watched_count;
static struct sigaction before[ARRAY_SIZE(watched)];

static void on_signal(int signum)
{
	unsigned char byte = (unsigned char)signum;
	int saved = errno;

	(void)!write(write_end, &byte, 1);
	errno = saved;
}

/* Without SA_RESTART: a write to a terminal that has been stopped must not outlast SIGTERM. */
static const struct sigaction watching = {.sa_handler = on_signal};

int session_signals_watch(bool tty, int *ret_read_end, struct err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(err, "pipe");
	write_end = ends[1];
	*ret_read_end = ends[0];
	watched_count = tty ? ARRAY_SIZE(watched) : PLAIN_COUNT;
	signals_handle(watched, watched_count, &watching, before);
	return 0;
}

void session_signals_unwatch(int *read_end)
{
	signals_restore(watched, watched_count, before);
	close_fd(read_end);
	close_fd(&write_end);
}

void session_signals_stop(void)
{
	const struct sigaction stopping = {.sa_handler = SIG_DFL};

	terminal_restore();
	(void)sigaction(SIGTSTP, &stopping, NULL);
	(void)raise(SIGTSTP);
	(void)sigaction(SIGTSTP, &watching, NULL);
}

_Noreturn void session_signals_die(int signum)
{
	/* A terminal that takes no output may hold us; the next signal ends that. */
	(void)signal(signum, SIG_DFL);
	terminal_restore();
	(void)raise(signum);
	_exit(128 + signum);
}
