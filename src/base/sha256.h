#pragma once
/*
 * SHA-256 (FIPS 180-4) of bytes that are in memory, for programs that are linked with libc only.
 */
#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32
#define SHA256_HEX  65

void sha256(const void *data, size_t length, uint8_t ret_digest[SHA256_SIZE]);
/* Lower-case hexadecimal digits and a NUL. */
void sha256_hex(const void *data, size_t length, char ret_hex[SHA256_HEX]);
