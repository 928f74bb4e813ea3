/*
 * A .deb is an `ar` archive with debian-binary, control.tar.* and data.tar.*. The reader of the
 * inner tar pulls its bytes out of the entry of the outer archive, so nothing is stored between.
 */
#include "image/unpack.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNK		((size_t)1 << 16)
#define ONE_FILE_MAX	((int64_t)256 << 20)
#define ALL_FILES_MAX	((int64_t)2 << 30)
#define ENTRY_COUNT_MAX 200000

static void free_reader(struct archive **a)
{
	if (*a)
		(void)archive_read_free(*a);
}
#define auto_reader CLEANUP(free_reader)

struct inner {
	struct archive *outer;
	uint8_t chunk[CHUNK];
};

static la_ssize_t read_inner(struct archive *a, void *ctx, const void **ret_data)
{
	struct inner *inner = ctx;
	la_ssize_t n = archive_read_data(inner->outer, inner->chunk, sizeof(inner->chunk));

	*ret_data = inner->chunk;
	if (n < 0)
		archive_set_error(a, EIO, "%s", archive_error_string(inner->outer));
	return n;
}

static int complain(struct archive *a, const char *path, struct err *err)
{
	const char *why = archive_error_string(a);

	return err_set(err, ERR_INVALID, "unpack %s: %s", path, why ? why : "damaged");
}

/* The name without "./" in front, or NULL when it could leave the destination. */
static const char *safe_name(const char *name)
{
	if (!name)
		return NULL;
	while (name[0] == '.' && name[1] == '/')
		name += 2;
	if (name[0] == '/' || name[0] == '\0')
		return NULL;
	for (const char *part = name; part; part = strchr(part, '/')) {
		part += *part == '/';
		if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
			return NULL;
	}
	return name;
}

static int write_entry(struct archive *a, const char *to, const char *name, struct err *err)
{
	auto_free char *path = path_join(to, name);
	char *slash = strrchr(path, '/');

	*slash = '\0';
	if (file_mkdirs(path, 0755, err) < 0)
		return -1;
	*slash = '/';
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(err, "create %s", path);
	auto_free uint8_t *chunk = xmalloc(CHUNK);
	for (;;) {
		la_ssize_t n = archive_read_data(a, chunk, CHUNK);

		if (n == 0)
			return 0;
		if (n < 0)
			return complain(a, name, err);
		if (file_write_all(fd, chunk, (size_t)n, err) < 0)
			return err_wrap(err, "%s", path);
	}
}

/* Walks the entries of the opened tar. */
static int extract(struct archive *a, const char *deb, const char *to,
		   bool (*want)(void *ctx, const char *name), void *ctx, struct err *err)
{
	struct archive_entry *entry;
	int64_t total = 0;

	for (int count = 0;; count++) {
		int result = archive_read_next_header(a, &entry);

		if (result == ARCHIVE_EOF)
			return 0;
		if (result < ARCHIVE_WARN)
			return complain(a, deb, err);
		const char *name = safe_name(archive_entry_pathname(entry));
		if (!name || archive_entry_filetype(entry) != AE_IFREG ||
		    archive_entry_hardlink(entry) || !want(ctx, name))
			continue;
		total += archive_entry_size(entry);
		if (archive_entry_size(entry) > ONE_FILE_MAX || total > ALL_FILES_MAX ||
		    count > ENTRY_COUNT_MAX)
			return err_set(err, ERR_INVALID, "unpack %s: %s: too large", deb, name);
		if (write_entry(a, to, name, err) < 0)
			return -1;
	}
}

static int extract_data(struct archive *outer, const char *deb, const char *to,
			bool (*want)(void *ctx, const char *name), void *ctx, struct err *err)
{
	auto_reader struct archive *a = archive_read_new();
	auto_free struct inner *inner = xcalloc(1, sizeof(*inner));

	inner->outer = outer;
	(void)archive_read_support_filter_all(a);
	(void)archive_read_support_format_tar(a);
	if (archive_read_open(a, inner, NULL, read_inner, NULL) != ARCHIVE_OK)
		return complain(a, deb, err);
	return extract(a, deb, to, want, ctx, err);
}

int unpack_deb(const char *deb, const char *to, bool (*want)(void *ctx, const char *name),
	       void *ctx, struct err *err)
{
	auto_reader struct archive *outer = archive_read_new();
	struct archive_entry *entry;
	int result;

	(void)archive_read_support_format_ar(outer);
	if (archive_read_open_filename(outer, deb, CHUNK) != ARCHIVE_OK)
		return complain(outer, deb, err);
	while ((result = archive_read_next_header(outer, &entry)) == ARCHIVE_OK) {
		const char *name = archive_entry_pathname(entry);

		if (name && strncmp(name, "data.tar", 8) == 0)
			return extract_data(outer, deb, to, want, ctx, err);
	}
	if (result != ARCHIVE_EOF)
		return complain(outer, deb, err);
	return err_set(err, ERR_INVALID, "unpack %s: no Debian package: it has no data.tar", deb);
}

int unpack_read(const char *path, size_t max, uint8_t **ret_data, size_t *ret_length,
		struct err *err)
{
	auto_reader struct archive *a = archive_read_new();
	auto_free uint8_t *data = NULL;
	struct archive_entry *entry;
	size_t used = 0;
	size_t room = 0;

	(void)archive_read_support_filter_all(a);
	(void)archive_read_support_format_raw(a);
	if (archive_read_open_filename(a, path, CHUNK) != ARCHIVE_OK ||
	    archive_read_next_header(a, &entry) != ARCHIVE_OK)
		return complain(a, path, err);
	for (;;) {
		if (room - used < CHUNK) {
			room = room ? room * 2 : CHUNK * 4;
			data = xrealloc(data, room);
		}
		la_ssize_t n = archive_read_data(a, data + used, CHUNK);
		if (n < 0)
			return complain(a, path, err);
		if (n == 0)
			break;
		used += (size_t)n;
		if (used > max)
			return err_set(err, ERR_INVALID, "unpack %s: larger than %zu bytes", path,
				       max);
	}
	*ret_data = take_ptr(&data);
	*ret_length = used;
	return 0;
}

static struct unpack_wish *find_wish(struct unpack_wish *wishes, size_t count,
				     struct archive_entry *entry)
{
	const char *name = safe_name(archive_entry_pathname(entry));

	for (size_t i = 0; name && i < count; i++)
		if (!wishes[i].found && archive_entry_filetype(entry) == AE_IFREG &&
		    strcmp(wishes[i].name, name) == 0)
			return &wishes[i];
	return NULL;
}

static int grant(struct archive *a, struct unpack_wish *wish, struct err *err)
{
	auto_free uint8_t *chunk = xmalloc(CHUNK);
	uint64_t left = wish->max;

	wish->found = true;
	for (;;) {
		la_ssize_t n = archive_read_data(a, chunk, CHUNK);

		if (n == 0)
			return 0;
		if (n < 0)
			return complain(a, wish->name, err);
		if ((uint64_t)n > left)
			return err_set(err, ERR_INVALID, "%s is larger than %llu bytes", wish->name,
				       (unsigned long long)wish->max);
		left -= (uint64_t)n;
		if (wish->take(wish->ctx, chunk, (size_t)n, err) < 0)
			return err_wrap(err, "%s", wish->name);
	}
}

static int take_wishes(struct archive *a, int fd, struct unpack_wish *wishes, size_t count,
		       struct err *err)
{
	struct archive_entry *entry;
	size_t missing = count;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, "read the image");
	if (archive_read_open_fd(a, fd, CHUNK) != ARCHIVE_OK)
		return complain(a, "the image", err);
	for (int entries = 0; missing > 0; entries++) {
		int result = archive_read_next_header(a, &entry);
		struct unpack_wish *wish;

		if (result == ARCHIVE_EOF)
			return 0;
		if (result < ARCHIVE_WARN || entries > ENTRY_COUNT_MAX)
			return complain(a, "the image", err);
		wish = find_wish(wishes, count, entry);
		if (!wish)
			continue;
		if (grant(a, wish, err) < 0)
			return -1;
		missing--;
	}
	return 0;
}

int unpack_iso(int iso, struct unpack_wish *wishes, size_t count, struct err *err)
{
	auto_reader struct archive *a = archive_read_new();

	(void)archive_read_support_format_iso9660(a);
	return take_wishes(a, iso, wishes, count, err);
}

int unpack_tar(int tar, struct unpack_wish *wishes, size_t count, struct err *err)
{
	auto_reader struct archive *a = archive_read_new();

	(void)archive_read_support_filter_gzip(a);
	(void)archive_read_support_format_tar(a);
	return take_wishes(a, tar, wishes, count, err);
}
