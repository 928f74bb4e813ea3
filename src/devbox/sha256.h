#pragma once
/* SHA-256 (FIPS 180-4), for the names of variables that devbox makes from a project's path. */
#include <stddef.h>

#define SHA256_HEX 65

/* Lower-case hexadecimal digits and a NUL. */
void sha256_hex(const void *data, size_t length, char ret_hex[SHA256_HEX]);
