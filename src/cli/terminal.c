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

void terminal_restore(void)
{
	char undo[TERMINAL_MODES_UNDO_MAX];
	size_t length;

	if (!terminal.is_raw)
		return;
	terminal.is_raw = 0;
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
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &terminal.before) < 0)
		return err_sys(err, "terminal settings");
	raw = terminal.before;
	cfmakeraw(&raw);
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
		(void)sigaction(crashes[i], &action, NULL);
	(void)atexit(terminal_restore);
	terminal.is_raw = 1;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
		return err_sys(err, "terminal settings");
	return 0;
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
