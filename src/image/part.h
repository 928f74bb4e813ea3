#pragma once
/*
 * NAME.part: a file that is being fetched. The open descriptor is locked, so only one process
 * writes; the lock goes when that process goes. NAME.part.from holds what the server said to
 * recognize the version by, and the hash that the whole must have.
 */
#include "base/err.h"
#include "image/hash.h"

#include <stdint.h>

struct part {
	int dir;
	const char *name; /* of the file that it will be */
	int fd;
	uint64_t length; /* of what is there, all of it in `hash` */
	struct hash *hash;
	char *validator; /* "" where none is known */
};

/* Opens or makes the part and waits for others. What is there is kept when it belongs to the file
 * of that hash or nothing is known about it, and is read into part->hash. */
int part_open(struct part *part, int dir, const char *name, const char *hash, struct err *err);
/* Closes; what was written stays. */
void part_close(struct part *part);

/* Writes down which version follows. */
int part_set_validator(struct part *part, const char *hash, const char *validator, struct err *err);
int part_add(struct part *part, const void *data, size_t length, struct err *err);
/* Empties it. */
int part_restart(struct part *part, struct err *err);
/* Of all that is there. */
void part_hash(struct part *part, char ret_hex[HASH_HEX_SIZE]);

/* Makes it the file, durably. */
int part_finish(struct part *part, struct err *err);
/* Removes it. */
void part_discard(struct part *part);
