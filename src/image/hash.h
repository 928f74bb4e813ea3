#pragma once
/*
 * SHA-256, by libnettle: of bytes at once, or of what arrives bit by bit.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_HEX_SIZE 65

struct hash;

struct hash *hash_new(void);
void hash_free(struct hash *hash); /* takes NULL */
struct hash *hash_copy(const struct hash *hash);
/* Forgets what was added. */
void hash_reset(struct hash *hash);
void hash_add(struct hash *hash, const void *data, size_t length);
/* Adds what a file holds from its position on, showing how far it is; `name` is for errors.
 * *ret_length (or NULL) is how much that was. ERR_CANCELLED. */
int hash_add_file(struct hash *hash, int fd, const char *name, uint64_t *ret_length,
		  struct err *err);
/* Of all that was added, in hexadecimal with its NUL. The hash begins anew. */
void hash_take(struct hash *hash, char ret_hex[HASH_HEX_SIZE]);

void hash_hex(const void *data, size_t length, char ret_hex[HASH_HEX_SIZE]);

/* Whether a text starts with 64 hexadecimal digits and a space, a newline or its end: the form of
 * sha256sum. They are put in lower case into ret_hex. */
bool hash_parse(const char *text, char ret_hex[HASH_HEX_SIZE]);
