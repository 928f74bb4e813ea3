#pragma once
/*
 * SIGINT, SIGTERM and SIGHUP ask the program to give up. They are noticed at the next cancel_check
 * or, while waiting in poll, by cancel_fd becoming readable; never in the middle of something.
 */
#include "base/err.h"

int cancel_init(struct err *err);
/* Readable once cancelled; never read it. */
int cancel_fd(void);
/* 0, or -1 with ERR_CANCELLED. */
int cancel_check(struct err *err);
