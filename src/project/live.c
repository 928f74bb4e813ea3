#include "project/live.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define LOCK_NAME "lock"
#define TEXT_MAX  1024

/* In place, as live_write. Nobody is in there any more, and the pid may be another's by now. */
static void forget_last(int lock)
{
	char nobody[TEXT_MAX];
	ssize_t n = pread(lock, nobody, sizeof(nobody), 0);

	memset(nobody, '\n', sizeof(nobody));
	if (n > 0)
		(void)!pwrite(lock, nobody, (size_t)n, 0);
}

int live_take(int data_dir, int *ret_lock, struct err *err)
{
	if (file_lock(data_dir, LOCK_NAME, false, ret_lock, err) < 0)
		return -1;
	forget_last(*ret_lock);
	return 0;
}

int live_take_stopped(const struct project *project, int data_dir, int *ret_lock, struct err *err)
{
	if (live_take(data_dir, ret_lock, err) == 0)
		return 0;
	if (err->code != ERR_BUSY)
		return err_wrap(err, "%s", project->data_dir);
	return err_set(err, ERR_BUSY, "the VM of %s is running; stop it with `dxvm stop` first",
		       project->root);
}

int live_write(int lock, const char *socket, struct err *err)
{
	auto_free char *text = xasprintf("pid %ld\nsocket %s\n", (long)getpid(), socket);

	/* Written in place: the lock is on this very file. Over what is there, and cut behind it:
	 * on a full disk there is no other room. A reader that catches half of it finds no socket
	 * line, or none that answers, and looks again. */
	if (lseek(lock, 0, SEEK_SET) < 0)
		return err_sys(err, LOCK_NAME);
	if (file_write_all(lock, text, strlen(text), err) < 0 ||
	    file_set_size(lock, (off_t)strlen(text), err) < 0)
		return err_wrap(err, LOCK_NAME);
	return 0;
}

int live_read(int data_dir, struct live *ret_live, struct err *err)
{
	auto_free char *text = NULL;
	struct live live = {0};
	char *rest;
	char *newline;

	if (file_read(data_dir, LOCK_NAME, TEXT_MAX, &text, NULL, err) < 0)
		return -1;
	for (char *line = text; (newline = strchr(line, '\n')); line = rest) {
		*newline = '\0';
		rest = newline + 1;
		if (strncmp(line, "pid ", 4) == 0)
			live.pid = (pid_t)strtol(line + 4, NULL, 10);
		else if (strncmp(line, "socket /", 8) == 0 && !live.socket)
			live.socket = xstrdup(line + 7);
	}
	*ret_live = live;
	return 0;
}

void live_done(struct live *live)
{
	free(live->socket);
	*live = (struct live){0};
}
