#pragma once
/*
 * SHA-256, by libcrypto.
 */
#include <stddef.h>

#define HASH_HEX_SIZE 65

/* In hexadecimal, with its NUL. */
void hash_hex(const void *data, size_t length, char ret_hex[HASH_HEX_SIZE]);
