#pragma once
/*
 * Programs for guests that come from this host rather than from dxvm: devbox. They lie in a
 * directory that projects share, which guests see read-only (docs/devbox.md).
 */
#include "base/err.h"

#include <stdbool.h>

#define TOOLS_DEVBOX "devbox"
#define TOOLS_FROM   "devbox.from" /* where it is from: one line, for people and for us */

/* DXVM_DEVBOX names the devbox that guests get; set to nothing, they get none, of whatever source. */
bool tools_wanted(void);

/* The directory, made if need be; the caller's. */
int tools_open(int *ret_dir, struct err *err);

/* Copies this host's own devbox there, if it has one that runs in a guest and that is not there
 * already: that of DXVM_DEVBOX, else from PATH, else from where devbox's launcher keeps its downloads. *ret_there: there is
 * one now, whoever put it there. */
int tools_take_devbox(int dir, bool *ret_there, struct err *err);
