#include "supervisor/saved_ram.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* Only the header: nothing is linked, nothing has to be loaded at the start of dxvm. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#define PAGE ((size_t)4096)
/* The kernel lets one at a time write into the memory; meanwhile the others read and check. */
#define READERS 3

size_t saved_pieces(uint64_t bytes)
{
	return (size_t)((bytes + SAVED_PIECE - 1) / SAVED_PIECE);
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
	return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

static uint64_t checksum(const uint8_t *bytes, size_t length)
{
	uint64_t sum;

	if (is_zero(bytes, length))
		return 0;
	sum = XXH3_64bits(bytes, length);
	return sum ? sum : 1;
}

static int read_all(int fd, uint8_t *bytes, size_t length, off_t at, struct err *err)
{
	while (length > 0) {
		ssize_t n = pread(fd, bytes, length, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "read");
		if (n == 0)
			return err_set(err, ERR_INVALID, "it is cut short");
		bytes += n;
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

static size_t page_at(size_t at, size_t length)
{
	return length - at < PAGE ? length - at : PAGE;
}

/* The pages that are not zero, neighbours in one go. */
static int write_pages(int fd, const uint8_t *bytes, size_t length, off_t at, struct err *err)
{
	size_t begin;

	for (size_t end = 0; end < length;) {
		while (end < length && is_zero(bytes + end, page_at(end, length)))
			end += page_at(end, length);
		begin = end;
		while (end < length && !is_zero(bytes + end, page_at(end, length)))
			end += page_at(end, length);
		if (file_write_at(fd, bytes + begin, end - begin, at + (off_t)begin, err) < 0)
			return -1;
	}
	return 0;
}

static bool is_cancelled(const atomic_bool *cancel)
{
	return cancel && atomic_load_explicit(cancel, memory_order_relaxed);
}

static size_t length_of(uint64_t bytes, size_t piece)
{
	uint64_t left = bytes - (uint64_t)piece * SAVED_PIECE;

	return left < SAVED_PIECE ? (size_t)left : SAVED_PIECE;
}

/* The first piece from this one on that can hold data; `count` when there is none. */
static size_t next_piece(int fd, size_t piece, size_t count)
{
	off_t data = lseek(fd, (off_t)(piece * SAVED_PIECE), SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? count : piece;
	return (size_t)data / SAVED_PIECE;
}

int saved_ram_write(int from, int to, uint64_t bytes, uint64_t *sums, const atomic_bool *cancel,
		    struct err *err)
{
	auto_free uint8_t *piece = xmalloc(SAVED_PIECE);
	size_t count = saved_pieces(bytes);

	memset(sums, 0, count * sizeof(*sums));
	if (file_set_size(to, (off_t)bytes, err) < 0)
		return -1;
	for (size_t i = next_piece(from, 0, count); i < count; i = next_piece(from, i + 1, count)) {
		size_t length = length_of(bytes, i);
		off_t at = (off_t)(i * SAVED_PIECE);

		if (is_cancelled(cancel))
			return err_set(err, ERR_CANCELLED, "cancelled");
		if (read_all(from, piece, length, at, err) < 0)
			return -1;
		sums[i] = checksum(piece, length);
		if (sums[i] && write_pages(to, piece, length, at, err) < 0)
			return -1;
	}
	return 0;
}

/* What the workers of one saved_ram_read share. */
struct reading {
	int from;
	int to;
	uint64_t bytes;
	const uint64_t *sums;
	const atomic_bool *cancel;
	atomic_size_t next; /* the piece that nobody has taken yet */
	atomic_bool failed; /* then err is set, by the first */
	struct err *err;
};

static int read_piece(const struct reading *reading, size_t i, uint8_t *piece, struct err *err)
{
	size_t length = length_of(reading->bytes, i);
	off_t at = (off_t)(i * SAVED_PIECE);

	if (!reading->sums[i])
		return 0;
	if (is_cancelled(reading->cancel))
		return err_set(err, ERR_CANCELLED, "cancelled");
	if (read_all(reading->from, piece, length, at, err) < 0)
		return -1;
	if (checksum(piece, length) != reading->sums[i])
		return err_set(err, ERR_INVALID, "it is damaged at byte %lld", (long long)at);
	return write_pages(reading->to, piece, length, at, err);
}

static void *read_pieces(void *context)
{
	struct reading *reading = context;
	auto_free uint8_t *piece = xmalloc(SAVED_PIECE);
	size_t count = saved_pieces(reading->bytes);
	struct err err = ERR_INIT;
	size_t i;

	while (!atomic_load(&reading->failed) &&
	       (i = atomic_fetch_add(&reading->next, 1)) < count) {
		if (read_piece(reading, i, piece, &err) < 0 &&
		    !atomic_exchange(&reading->failed, true))
			*reading->err = err;
	}
	return NULL;
}

int saved_ram_read(int from, int to, uint64_t bytes, const uint64_t *sums,
		   const atomic_bool *cancel, struct err *err)
{
	struct reading reading = {
	    .from = from, .to = to, .bytes = bytes, .sums = sums, .cancel = cancel, .err = err};
	pthread_t helpers[READERS - 1];
	size_t count = 0;

	while (count < ARRAY_SIZE(helpers) && count + 1 < saved_pieces(bytes) &&
	       pthread_create(&helpers[count], NULL, read_pieces, &reading) == 0)
		count++;
	(void)read_pieces(&reading);
	while (count > 0)
		(void)pthread_join(helpers[--count], NULL);
	return atomic_load(&reading.failed) ? -1 : 0;
}
