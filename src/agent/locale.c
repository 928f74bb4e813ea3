/*
 * A locale is a folder "de_DE.utf8", or a name in the file "locale-archive" beside such folders.
 * glibc takes "de_DE.UTF-8" for it too: it looks for the code set in lower case and without
 * punctuation. In the archive's header eight 32-bit numbers of the machine's own order come first:
 * magic, serial, then offset, used, size of the hash table, and offset and used of the names.
 */
#include "agent/locale.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#define NAME_MAX_LENGTH 128
#define ARCHIVE_MAGIC	0xde020109u
#define NAMES_MAX	((size_t)1 << 20) /* of all locales there are: about 10 KiB */

enum archive_field {
	FIELD_MAGIC = 0,
	FIELD_NAMES_OFFSET = 5,
	FIELD_NAMES_USED = 6,
	FIELD_COUNT = 8,
};

static bool is_built_in(const char *name)
{
	static const char *const names[] = {"", "C", "POSIX", "C.UTF-8", "C.utf8"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* The name as glibc stores it: language_TERRITORY.codeset@modifier with the code set reduced. */
static void normalize(const char *name, char out[NAME_MAX_LENGTH + 1])
{
	size_t used = 0;
	bool in_codeset = false;

	for (const char *c = name; *c; c++) {
		if (*c == '.' || *c == '@')
			in_codeset = *c == '.';
		else if (in_codeset && !isalnum((unsigned char)*c))
			continue;
		out[used++] = (char)(in_codeset ? tolower((unsigned char)*c) : *c);
	}
	out[used] = '\0';
}

static bool is_in_archive(const char *name, const char *folder)
{
	auto_free char *path = xasprintf("%s/locale-archive", folder);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	uint32_t header[FIELD_COUNT];
	size_t wanted = strlen(name) + 1;

	if (fd < 0 || pread(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
	    header[FIELD_MAGIC] != ARCHIVE_MAGIC || header[FIELD_NAMES_USED] > NAMES_MAX)
		return false;
	auto_free char *names = xmalloc(header[FIELD_NAMES_USED] + 1);
	if (pread(fd, names, header[FIELD_NAMES_USED], header[FIELD_NAMES_OFFSET]) !=
	    (ssize_t)header[FIELD_NAMES_USED])
		return false;
	/* Each ends with a NUL, so one that begins behind a NUL is a whole name. */
	for (size_t at = 0; at + wanted <= header[FIELD_NAMES_USED];) {
		const char *end = memchr(names + at, '\0', header[FIELD_NAMES_USED] - at);

		if (memcmp(names + at, name, wanted) == 0)
			return true;
		if (!end)
			break;
		at = (size_t)(end - names) + 1;
	}
	return false;
}

bool locale_known(const char *name, const char *const *folders)
{
	char normal[NAME_MAX_LENGTH + 1];

	if (is_built_in(name))
		return true;
	if (name[0] == '.' || strlen(name) > NAME_MAX_LENGTH || strchr(name, '/'))
		return false;
	normalize(name, normal);
	for (const char *const *folder = folders; *folder; folder++) {
		auto_free char *path = xasprintf("%s/%s", *folder, normal);

		if (access(path, X_OK) == 0 || is_in_archive(normal, *folder))
			return true;
	}
	return false;
}
