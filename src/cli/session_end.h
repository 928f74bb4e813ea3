#pragma once
/* How a session ended for us, and what is said of that. */
#include "base/err.h"
#include "cli/session.h"

#include <stdbool.h>
#include <stdint.h>

struct session_end {
	uint32_t id; /* what the guest calls it; 0: it cannot be detached, or is not known yet */
	bool exited; /* the program, with `status`, for our own exit */
	int status;
	bool taken; /* by another client */
	bool rejected;
	uint32_t reject_code;
	char *reject_text;
};

/* As session_run has it. Neither of the three: we left. `stage`: what the VM was at last heard to be
 * doing, or NULL. Prints what a person should know on standard error. */
int session_end_status(const struct session_end *end, const struct session_options *options,
		       const char *stage, struct err *err);
