#pragma once
/*
 * Work that may block (disks, mounts, a share whose server is slow) on a thread of its own, so that
 * the loop never waits: `work` runs there, `done` afterwards on the loop's thread. The arg passes
 * from one to the other; whoever runs a worker must not touch it in between.
 */
#include "agent/loop.h"

/* -1: no thread could be started; nothing is called then. */
int worker_run(struct loop *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg,
	       struct err *err);
