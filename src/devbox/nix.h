#pragma once
/*
 * Getting store paths into the guest with Nix's own programs, and one profile made of them at
 * .devbox/nix/profile/default, as devbox has it. Done only when the paths changed.
 */
#include "devbox/packages.h"

/* What ends up in PATH besides the profile's bin: "" when the profile holds everything, else the
 * bin directories of the paths, in order, because Nix could not make one profile of them. The
 * caller's. What cannot be had is said; only trouble with our own files is an error.
 * One at a time: the caller holds a lock. */
int nix_install(const struct project *project, const struct packages *packages, char **ret_path,
		struct err *err);
