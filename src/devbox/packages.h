#pragma once
/*
 * From the packages of devbox.json to store paths, by devbox.lock alone. What cannot be had without
 * devbox gets a line in the notes, one for each package.
 */
#include "base/buf.h"
#include "devbox/project.h"

struct packages {
	const char **paths;  /* of the lock; each once, in the order of the packages */
	const char **owners; /* the package of each, as devbox.json calls it */
	size_t count;
};

int packages_resolve(const struct project *project, struct buf *notes,
		     struct packages *ret_packages, struct err *err);
void packages_done(struct packages *packages);
#define auto_packages CLEANUP(packages_done)

/* A line a package on standard output: its name, and its paths or why there are none. */
int packages_print(const struct project *project, struct err *err);
