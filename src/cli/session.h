#pragma once
/*
 * One program in the guest, with this process's terminal or with its standard input, output and
 * error: opens a session channel, or attaches to a session that is there, moves the bytes, returns
 * the program's status.
 */
#include "base/err.h"
#include "cli/client.h"

#include <stdbool.h>

struct session_options {
	bool tty;		/* give it a terminal; needs terminal_present() */
	bool quiet;		/* no word when it goes on without us */
	char *const *arguments; /* NULL-terminated; empty: the user's login shell */
	const char *cwd;	/* relative to the project directory; "": that itself */
	bool *ret_missing;	/* set, and nothing said, when there is no such program, or session
				   to attach to; or NULL */
	enum proto_detach detach; /* with tty: what becomes of it when we leave or are lost */
	uint32_t attach;	  /* not 0: this session, and none of the above but tty */
	bool take;		  /* attach also where another client is */
};

/* The exit status for our own exit: the program's, 0 when it was left, 128+n for signal n, 127 and
 * 126 when it could not be run (why is on standard error). -1: the session itself failed. The
 * terminal is restored.
 */
int session_run(struct client *client, const struct session_options *options, struct err *err);
