#pragma once
/*
 * The environment variables of a project, as devbox computes them without `nix print-dev-env`
 * (--omit-nix-env) and without plugins.
 */
#include "base/buf.h"
#include "devbox/project.h"

struct compute {
	bool pure;	      /* of the current environment only HOME, PATH (cleaned) and TERM */
	const char *env_file; /* as env_from, laid over it all; NULL: none */
	const char *const *given; /* NAME=VALUE, laid over that */
	size_t given_count;
	const char *package_path; /* directories of packages that are not in the profile, or "" */
};

/* From the process's own environment. Names that no shell can have are left out and noted. */
int compute_environment(const struct project *project, const struct compute *compute,
			struct buf *notes, struct vars *ret_vars, struct err *err);

/* Whether the project's environment is the one this process runs in. */
bool compute_is_active(const struct project *project);
