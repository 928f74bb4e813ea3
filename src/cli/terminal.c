/*
 * The state is static because signal handlers and atexit must find it. Handlers use only
 * async-signal-safe calls (tcsetattr and write are).
 */
#include "cli/terminal.h"

#include "base/terminal_modes.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct {
	volatile sig_atomic_t is_raw;
	struct termios before;
	struct terminal_modes modes;
} terminal;

bool terminal_present(void)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

/* In the background it is somebody else's, and touching it would stop us. */
static bool is_ours(void)
{
	pid_t foreground = tcgetpgrp(STDIN_FILENO);

	return foreground < 0 || foreground == getpgrp();
}

static int make_raw(void)
{
	struct termios raw = terminal.before;

	cfmakeraw(&raw);
	terminal.is_raw = 1;
	return tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

void terminal_restore(void)
{
	char undo[TERMINAL_MODES_UNDO_MAX];
	size_t length;

	if (!terminal.is_raw)
		return;
	terminal.is_raw = 0;
	if (!is_ours())
		return;
	length = terminal_modes_undo(&terminal.modes, undo);
	if (length)
		(void)!write(STDOUT_FILENO, undo, length);
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal.before);
}

static void on_crash(int signum)
{
	terminal_restore();
	/* SA_RESETHAND: the default action, with its core, follows. */
	(void)raise(signum);
}

int terminal_raw(struct err *err)
{
	static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	const struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND};

	if (tcgetattr(STDIN_FILENO, &terminal.before) < 0)
		return err_sys(err, "terminal settings");
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
		(void)sigaction(crashes[i], &action, NULL);
	(void)atexit(terminal_restore);
	return make_raw() < 0 ? err_sys(err, "terminal settings") : 0;
}

void terminal_return(void)
{
	char redo[TERMINAL_MODES_UNDO_MAX];
	size_t length = terminal.is_raw ? 0 : terminal_modes_redo(&terminal.modes, redo);

	if (!is_ours())
		return;
	(void)make_raw();
	if (length)
		(void)!write(STDOUT_FILENO, redo, length);
}

void terminal_saw(const void *output, size_t length)
{
	terminal_modes_feed(&terminal.modes, output, length);
}

void terminal_size(struct message_window *ret_window)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	*ret_window = (struct message_window){
	    .rows = size.ws_row,
	    .columns = size.ws_col,
	    .width = size.ws_xpixel,
	    .height = size.ws_ypixel,
	};
}
