#include "base/fingerprint.h"

#include "base/file.h"
#include "base/mem.h"

#include <fcntl.h>

#define FILE_MAX  ((size_t)8 << 20)
#define FNV_BASIS 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

static uint64_t mix(uint64_t hash, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ at[i]) * FNV_PRIME;
	return hash;
}

static uint64_t mix_file(uint64_t hash, int dir, const char *name)
{
	auto_free char *text = NULL;
	struct err ignored = ERR_INIT;
	size_t length = 0;

	(void)file_read(dir, name, FILE_MAX, &text, &length, &ignored);
	/* The length ends it: what moves from one file to the other is seen. */
	hash = mix(hash, text, text ? length : 0);
	return mix(hash, &length, sizeof(length));
}

uint64_t fingerprint_project(const char *root)
{
	auto_close int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t hash = FNV_BASIS;

	hash = mix_file(hash, dir, "devbox.json");
	hash = mix_file(hash, dir, "devbox.lock");
	return hash == FINGERPRINT_NONE ? FNV_BASIS : hash;
}

static bool was_given(void)
{
#ifdef __linux__
	const int wanted = F_SEAL_SHRINK | F_SEAL_GROW;
	const int seals = fcntl(FINGERPRINT_FD, F_GET_SEALS);

	return seals >= 0 && (seals & wanted) == wanted;
#else
	return false;
#endif
}

void fingerprint_claim(void)
{
	if (was_given())
		(void)fcntl(FINGERPRINT_FD, F_SETFD, FD_CLOEXEC);
}

void fingerprint_leave(uint64_t fingerprint)
{
	if (was_given())
		(void)!pwrite(FINGERPRINT_FD, &fingerprint, sizeof(fingerprint), 0);
}
