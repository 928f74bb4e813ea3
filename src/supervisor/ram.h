#pragma once
/*
 * The guest's RAM: anonymous memory that the supervisor owns and lends to the machine, so that it
 * outlives it for the moment a suspend takes, and is never a file on disk while the guest runs.
 */
#include "base/err.h"

#include <stdint.h>

/* A descriptor of `bytes` bytes that can neither shrink nor grow. ERR_INVALID: more than the host has;
 * the machine would not start, or bring the host down when it used them. */
int ram_create(uint64_t bytes, int *ret_fd, struct err *err);

/* What it costs the host now, in bytes. 0 when unknown. */
uint64_t ram_resident(int fd);
