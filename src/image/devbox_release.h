#pragma once
/*
 * devbox as its makers publish it: an archive with one static program for each processor, and a
 * list of checksums beside it.
 */
#include "base/err.h"

#define DEVBOX_RELEASE "0.18.0"

/* Puts it into STATE/tools (project/tools.h). From DXVM_DEVBOX_URL, the URL of a directory, if that
 * is set. */
int devbox_release_get(const char *state, struct err *err);
