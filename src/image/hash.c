#include "image/hash.h"

#include <openssl/sha.h>
#include <stdio.h>

void hash_hex(const void *data, size_t length, char ret_hex[HASH_HEX_SIZE])
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	(void)SHA256(data, length, digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		(void)snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
}
