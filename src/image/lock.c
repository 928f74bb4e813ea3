#include "image/lock.h"

#include "base/file.h"
#include "image/cancel.h"
#include "image/progress.h"

#include <time.h>

#define RETRY_NS 100000000

/* In small steps: a signal that comes just before a wait would not end it. */
int lock_wait(int dir, const char *name, const char *note, int *ret_lock, struct err *err)
{
	const struct timespec pause = {.tv_nsec = RETRY_NS};
	bool said = false;

	for (;;) {
		struct err problem = ERR_INIT;

		if (file_lock(dir, name, false, ret_lock, &problem) == 0)
			return 0;
		if (problem.code != ERR_BUSY) {
			*err = problem;
			return -1;
		}
		if (!said)
			progress_note("%s", note);
		said = true;
		if (cancel_check(err) < 0)
			return -1;
		(void)nanosleep(&pause, NULL);
	}
}
