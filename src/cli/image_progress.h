#pragma once
/*
 * What dxvm-image says on its pipe, a line each: "stage TEXT", "progress DONE TOTAL", "bytes DONE
 * TOTAL", "note TEXT", "error TEXT", "done" (image/progress.h).
 */
#include "base/err.h"
#include "cli/progress.h"

#include <sys/types.h>

/* Reads until the end, shows it, reaps the child. INT, TERM and HUP are passed on to it as TERM,
 * and are ERR_CANCELLED. -1 with the child's own error text, or with how it died. */
int image_progress_follow(int fd, pid_t pid, struct progress *progress, struct err *err);
