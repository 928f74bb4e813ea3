#pragma once
/*
 * A lock file of the user's, held by one dxvm at a time. Waiting says so once, with `note`, and ends
 * with Ctrl-C (ERR_CANCELLED).
 */
#include "base/err.h"

int lock_wait(int dir, const char *name, const char *note, int *ret_lock, struct err *err);
