#include "image/hash.h"

#include "base/mem.h"
#include "image/cancel.h"
#include "image/progress.h"

#include <ctype.h>
#include <errno.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 18)

struct hash {
	struct sha256_ctx context;
};

struct hash *hash_new(void)
{
	struct hash *hash = xcalloc(1, sizeof(*hash));

	hash_reset(hash);
	return hash;
}

void hash_free(struct hash *hash)
{
	free(hash);
}

struct hash *hash_copy(const struct hash *hash)
{
	return xmemdup(hash, sizeof(*hash));
}

void hash_reset(struct hash *hash)
{
	sha256_init(&hash->context);
}

void hash_add(struct hash *hash, const void *data, size_t length)
{
	sha256_update(&hash->context, length, data);
}

int hash_add_file(struct hash *hash, int fd, const char *name, uint64_t *ret_length,
		  struct err *err)
{
	auto_free uint8_t *chunk = xmalloc(CHUNK);
	uint64_t done = 0;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(err, "%s", name);
	for (;;) {
		ssize_t n = read(fd, chunk, CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "read %s", name);
		if (n == 0)
			break;
		hash_add(hash, chunk, (size_t)n);
		done += (uint64_t)n;
		progress_bytes(done, (uint64_t)st.st_size);
		if (cancel_check(err) < 0)
			return -1;
	}
	if (ret_length)
		*ret_length = done;
	return 0;
}

void hash_take(struct hash *hash, char ret_hex[HASH_HEX_SIZE])
{
	uint8_t digest[SHA256_DIGEST_SIZE];

	sha256_digest(&hash->context, sizeof(digest), digest); /* which also resets it */
	for (size_t i = 0; i < sizeof(digest); i++)
		(void)snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
}

void hash_hex(const void *data, size_t length, char ret_hex[HASH_HEX_SIZE])
{
	struct hash hash;

	hash_reset(&hash);
	hash_add(&hash, data, length);
	hash_take(&hash, ret_hex);
}

bool hash_parse(const char *text, char ret_hex[HASH_HEX_SIZE])
{
	size_t digits = strspn(text, "0123456789abcdefABCDEF");

	if (digits != HASH_HEX_SIZE - 1 || !strchr(" \t\r\n", text[digits]))
		return false;
	for (size_t i = 0; i < digits; i++)
		ret_hex[i] = (char)tolower((unsigned char)text[i]);
	ret_hex[digits] = '\0';
	return true;
}
