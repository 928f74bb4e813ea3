#pragma once
/*
 * Runs a program to its end, reading what it says. The child dies with us, and when we are asked
 * to give up (image/cancel.h) its whole session is killed. Its own last words become part of the
 * error: apt, dpkg and mke2fs say best themselves what is wrong.
 */
#include "base/err.h"

#include <stdbool.h>

struct child {
	const char *const *arguments; /* argv, NULL-terminated; the program is looked up in PATH */
	const char *const *environment; /* "NAME=value" added to ours, NULL-terminated; or NULL */
	const char *directory;		/* NULL: ours */
	int log_fd;			/* everything it says is written there too; -1: nowhere */
	bool must_finish;		/* cleaning up: go on although we are asked to give up */
	/* Called for each line, without its newline. May be NULL. */
	void (*line)(void *ctx, bool is_error, const char *line);
	void *ctx;
};

/* 0 when it exits with status 0. ERR_NOT_FOUND: no such program. */
int child_run(const struct child *child, struct err *err);
