#pragma once
/*
 * Making the VM of a project. The heavy work (packages, disks) is done by the program dxvm-image, a
 * child that tells on a pipe what it does; while it works we hold the lock of the VM, so that
 * nobody starts it half made.
 */
#include "base/err.h"
#include "cli/progress.h"
#include "project/kind.h"
#include "project/project.h"

#include <stdbool.h>

#define INSTALL_DEFAULT_GUEST "debian"

struct install_options {
	const struct kind *kind;
	bool force;	     /* replace a VM that is there */
	const char *release; /* of NixOS; NULL: the usual one */
	const char *iso;     /* its installer, as a file; NULL: it is downloaded */
	bool offline;	     /* but not now: only one that was downloaded before will do */
};

/* ERR_EXISTS when there is one and not `force`; ERR_BUSY when it runs or is being made. A guest that
 * boots itself is made beside the one it replaces, which stays until the new one is complete. */
int install_vm(const struct project *project, const struct install_options *options,
	       enum progress_mode mode, struct err *err);

/* Where the project has no VM and there is a person to ask: says what there is to choose, asks, and
 * makes it. Otherwise does nothing. ERR_CANCELLED when the answer is no. */
int install_offer(const struct project *project, enum progress_mode mode, struct err *err);
