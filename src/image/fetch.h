#pragma once
/*
 * Files from the network that are what they should be. A file is known by its SHA-256 before it is
 * fetched; what lies at its place already is believed only if it has that hash, whoever put it
 * there. It is written to NAME.part beside its place, and what an interrupted or killed run left
 * there is gone on with (NAME.part.from says of which version it is a part). NAME appears complete,
 * hashed and synced. Two that want the same file fetch it once: the second waits, and says so.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fetch {
	const char *url;  /* http or https */
	const char *hash; /* SHA-256, 64 lower-case hexadecimal digits */
	int dir;	  /* where it goes, and the path of that for messages */
	const char *place;
	const char *name; /* one component */
	uint64_t max;	  /* bytes; more is refused */
};

/* Shows its progress (image/progress.h). ERR_CANCELLED keeps the part, as every error does but a
 * wrong hash. */
int fetch_file(const struct fetch *fetch, struct err *err);

/* Whether DIR/NAME is there, is a regular file and has the hash: 1 or 0; -1 on errors. */
int fetch_has(int dir, const char *name, const char *hash, struct err *err);

/* A small text, such as a list of checksums, NUL-terminated and without other NULs. *ret_url is
 * where it was found in the end. Both are the caller's. *ret_offline (or NULL) tells, on failure,
 * whether nobody could be reached. */
int fetch_text(const char *url, size_t max, char **ret_text, char **ret_url, bool *ret_offline,
	       struct err *err);
