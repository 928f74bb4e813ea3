#pragma once
/*
 * Room on the disk: asked before a long build, and named as the cause when one failed for want of
 * it.
 */
#include "base/err.h"

#include <stdint.h>

/* Fails when the file system of `path` (which exists) has less than `needed` bytes for this user;
 * the text says how much is missing. */
int space_check(const char *path, uint64_t needed, struct err *err);

/* After a failure: puts the lack of room in place of *err if the log says that was it, else adds
 * where the log is. Returns -1. */
int space_explain(const char *path, uint64_t needed, const char *log_path, struct err *err);
