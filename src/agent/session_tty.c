#include "agent/session_internal.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define TTY_GID	 5 /* of devpts; Debian's tty group */
#define TTY_MODE 0620

void session_tty_resize(const struct session *session)
{
	const struct winsize size = {
	    .ws_row = session->window.rows,
	    .ws_col = session->window.columns,
	    .ws_xpixel = session->window.width,
	    .ws_ypixel = session->window.height,
	};

	if (session->slave >= 0)
		(void)ioctl(session->slave, TIOCSWINSZ, &size);
}

int session_tty_make(struct session *session, uid_t owner, struct err *err)
{
	auto_close int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	auto_close int input = -1;
	auto_close int slave = -1;
	int locked = 0;

	if (master < 0)
		return err_sys(err, "make a terminal: /dev/ptmx");
	if (ioctl(master, TIOCSPTLCK, &locked) < 0)
		return err_sys(err, "make a terminal: unlock");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	input = fcntl(master, F_DUPFD_CLOEXEC, 3);
	if (slave < 0 || input < 0)
		return err_sys(err, "make a terminal");
	if (owner != getuid() && (fchown(slave, owner, TTY_GID) < 0 || fchmod(slave, TTY_MODE) < 0))
		return err_sys(err, "make a terminal: owner");
	session->slave = take_fd(&slave);
	session->output[0].watch.fd = take_fd(&master);
	session->input.fd = take_fd(&input);
	if (session->window.rows && session->window.columns)
		session_tty_resize(session);
	return 0;
}

pid_t session_foreground(const struct session *session)
{
	pid_t group = session->slave >= 0 && session->output[0].watch.fd >= 0
			  ? tcgetpgrp(session->output[0].watch.fd)
			  : -1;

	return group > 1 ? group : session->pid;
}
