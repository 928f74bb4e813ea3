#pragma once
/*
 * What mmdebstrap, apt and dpkg say while they make a root file system, turned into stages and
 * counts for people.
 */
#include <stdbool.h>
#include <stdint.h>

struct debian_progress {
	uint64_t done;	   /* steps in this stage */
	uint64_t packages; /* in this stage; 0: not known */
	uint64_t steps;	   /* for each package: fetched, unpacked, set up */
};

/* A child's line callback; ctx is a struct debian_progress that starts as zeros. */
void debian_progress_line(void *ctx, bool is_error, const char *line);
