#pragma once
/*
 * Prints a file that somebody else writes: the supervisor's log, the guest's console. All of it is
 * text of strangers, and escaped.
 */
#include "base/err.h"

#include <stdbool.h>

/* A file of this data directory. Following, it goes on with what is added until it is interrupted;
 * a file that becomes shorter (it was full, or began anew) is taken up at its new end. */
int log_view(int data_dir, const char *name, bool follow, struct err *err);
