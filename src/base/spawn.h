#pragma once
/*
 * Starting a program with exactly the descriptors, signal mask and lifetime it should have. The
 * caller owns the pid and reaps it. Linux and macOS; where PR_SET_PDEATHSIG is missing,
 * die_with_parent does nothing and the caller watches instead.
 */
#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct spawn_fd {
	int parent; /* descriptor here */
	int child;  /* its number there */
};

struct spawn {
	const char *program;	  /* a path, or a name looked up in PATH */
	char *const *arguments;	  /* argv, NULL-terminated */
	char *const *environment; /* NULL: ours */
	const char *directory;	  /* NULL: ours */
	const struct spawn_fd
	    *fds; /* 0, 1, 2 not named here are /dev/null; all others are closed */
	size_t fd_count;
	bool block_signals; /* TERM, HUP and INT are blocked in the child and stay so across exec */
	bool die_with_parent; /* SIGKILL when we die, also if that already happened */
	bool new_session;     /* setsid */
	bool change_ids;      /* become uid, gid without supplementary groups (root only) */
	uid_t uid;
	gid_t gid;
};

/* The pid, or -1; a program that cannot be executed is an error here (ERR_NOT_FOUND when it is
 * not there), not an exit status later. */
pid_t spawn_start(const struct spawn *spawn, struct err *err);

/* Words for a wait status: "exited with status 3", "was killed by signal 9 (Killed)". The caller's.
 */
char *spawn_describe(int wait_status);
