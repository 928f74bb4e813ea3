#pragma once
/*
 * The initrd that a guest really boots: the one of its data directory, followed by a second archive
 * with the agent as /init and dxvm-devbox beside it. The kernel unpacks one after the other
 * (initramfs buffer format), so a cold boot always runs this host's programs.
 */
#include "base/err.h"

/* *ret_fd is a file without a name that vanishes with its last descriptor, at position 0. The
 * sources are read from their start; they stay the caller's. */
int guest_initrd_compose(int initrd, int agent, int devbox, int *ret_fd, struct err *err);
