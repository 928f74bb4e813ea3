#pragma once
/*
 * The agent's command line. As PID 1 there is none: what the kernel passes on to init is not for
 * us, and is not looked at.
 */
#include "base/err.h"

#include <stdbool.h>

enum agent_mode {
	AGENT_INIT,    /* PID 1 of a guest of ours: everything is its business */
	AGENT_SERVICE, /* started by the guest's own init: sessions, shares, clock */
	AGENT_FAKE,    /* on the host, for tests: sessions only, as whoever started it */
};

struct options {
	enum agent_mode mode;
	int link_fd;	      /* -1: find the virtio port */
	int share_fd;	      /* -1: find it, or, with --fake, none */
	const char *project;  /* where sessions start with --fake */
	const char *programs; /* where ours lie on the disk; NULL: they come with each boot */
	bool version;
};

/* pid: getpid(). argv stays the caller's and must outlive the options. */
int options_parse(struct options *ret_options, int argc, char **argv, int pid, struct err *err);
