#include "image/cancel.h"

#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

static volatile sig_atomic_t cancelled;
static int ends[2] = {-1, -1}; /* a signal handler reaches nothing that is not global */

static void on_signal(int signal)
{
	int saved = errno;

	cancelled = signal;
	(void)!write(ends[1], "", 1);
	errno = saved;
}

int cancel_init(struct err *err)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct sigaction before[ARRAY_SIZE(signals)];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(err, "pipe");
	signals_handle(signals, ARRAY_SIZE(signals), &action, before);
	return 0;
}

int cancel_fd(void)
{
	return ends[0];
}

int cancel_check(struct err *err)
{
	return cancelled ? err_set(err, ERR_CANCELLED, "interrupted") : 0;
}
