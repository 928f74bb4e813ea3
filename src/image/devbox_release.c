#include "image/devbox_release.h"

#include "base/elf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/fetch.h"
#include "image/hash.h"
#include "image/lock.h"
#include "image/progress.h"
#include "image/unpack.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define URL	      "https://github.com/jetify-com/devbox/releases/download/" DEVBOX_RELEASE
#define CHECKSUMS     "checksums.txt"
#define CHECKSUMS_MAX ((size_t)64 << 10)
#define ARCHIVE_MAX   ((uint64_t)256 << 20)
#define PROGRAM_MAX   ((uint64_t)512 << 20)
#define TOOLS	      "tools"
#define PROGRAM	      "devbox"
#define PART	      PROGRAM ".part"
#define FROM	      PROGRAM ".from"
#define LOCK	      "lock"

/* A line of sha256sum: the hash, two characters, the name. */
static bool find_checksum(const char *text, const char *name, char ret_hash[HASH_HEX_SIZE])
{
	const size_t length = strlen(name);

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *rest = line + HASH_HEX_SIZE - 1;

		if (strcspn(line, "\n") == HASH_HEX_SIZE + 1 + length &&
		    strncmp(rest + 2, name, length) == 0 && hash_parse(line, ret_hash))
			return true;
	}
	return false;
}

static int write_program(void *ctx, const void *data, size_t length, struct err *err)
{
	const int *fd = ctx;

	return file_write_all(*fd, data, length, err);
}

static int unpack(int dir, const char *archive, const char *url, struct err *err)
{
	auto_close int from = openat(dir, archive, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	auto_close int part = -1;
	struct unpack_wish wish = {
	    .name = PROGRAM, .max = PROGRAM_MAX, .take = write_program, .ctx = &part};

	if (from < 0)
		return err_sys(err, "%s", archive);
	if (file_create(dir, PART, 0755, &part, err) < 0 || unpack_tar(from, &wish, 1, err) < 0)
		return err_wrap(err, "%s", archive);
	if (!wish.found || !elf_is_static(part))
		return err_set(err, ERR_INVALID, "%s: there is no devbox for guests in it", url);
	if (fchmod(part, 0755) < 0)
		return err_sys(err, PROGRAM);
	if (file_sync(part, PROGRAM, err) < 0 || file_rename(dir, PART, PROGRAM, err) < 0)
		return -1;
	auto_free char *text = xasprintf("%s\n", url);
	return file_write_atomic(dir, FROM, text, strlen(text), 0644, err);
}

static int get(int dir, const char *place, const char *base, const char *archive, struct err *err)
{
	auto_free char *list = xasprintf("%s/" CHECKSUMS, base);
	auto_free char *url = xasprintf("%s/%s", base, archive);
	auto_free char *text = NULL;
	auto_free char *found = NULL;
	char hash[HASH_HEX_SIZE];
	const struct fetch fetch = {.url = url,
				    .hash = hash,
				    .dir = dir,
				    .place = place,
				    .name = archive,
				    .max = ARCHIVE_MAX};
	int result;

	progress_stage("fetching devbox " DEVBOX_RELEASE);
	if (fetch_text(list, CHECKSUMS_MAX, &text, &found, NULL, err) < 0)
		return -1;
	if (!find_checksum(text, archive, hash))
		return err_set(err, ERR_INVALID, "%s: there is no SHA-256 of %s in it", found,
			       archive);
	if (fetch_file(&fetch, err) < 0)
		return -1;
	result = unpack(dir, archive, url, err);
	(void)unlinkat(dir, archive, 0);
	(void)unlinkat(dir, PART, 0);
	return result;
}

int devbox_release_get(const char *state, struct err *err)
{
	const char *own = getenv("DXVM_DEVBOX_URL");
	auto_free char *place = path_join(state, TOOLS);
	auto_free char *archive =
	    xasprintf("devbox_" DEVBOX_RELEASE "_linux_%s.tar.gz", elf_processor());
	auto_close int dir = -1;
	auto_close int lock = -1;

	if (own && *own && strncmp(own, "https://", 8) != 0 && strncmp(own, "http://", 7) != 0)
		return err_set(err, ERR_USAGE,
			       "DXVM_DEVBOX_URL=%s: must be the http or https URL of a directory",
			       own);
	if (file_mkdirs(place, 0755, err) < 0 || file_open_dir(AT_FDCWD, place, &dir, err) < 0 ||
	    lock_wait(dir, LOCK, "another dxvm is fetching devbox: waiting for it", &lock, err) < 0)
		return -1;
	return get(dir, place, own && *own ? own : URL, archive, err);
}
