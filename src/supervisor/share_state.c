#include "supervisor/share_state.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define STATE_MAGIC  0x3173657461747364ULL /* "dstates1" */
#define STATE_MAX    ((off_t)2 << 30)	   /* of journals; larger is damaged */
#define BLOCK_MAX    ((size_t)1 << 30)
#define GROWTH	     ((off_t)8 << 20) /* and twice the snapshot, before the next one */
#define ALIGNMENT    ((off_t)4096)
#define SNAPSHOT_MAX ((size_t)1 << 30)

struct header {
	uint64_t magic, start, heard, unsure, untold;
};

struct block {
	uint32_t number;
	uint32_t length;
};

static int write_at(int fd, const void *bytes, size_t length, off_t at, struct err *err)
{
	const uint8_t *p = bytes;

	while (length > 0) {
		ssize_t n = pwrite(fd, p, length, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(err, "write the share's state");
		p += n;
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

static int read_at(int fd, void *bytes, size_t length, off_t at, struct err *err)
{
	uint8_t *p = bytes;

	while (length > 0) {
		ssize_t n = pread(fd, p, length, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "read the share's state");
		if (n == 0)
			return err_set(err, ERR_INVALID, "the share's state is cut short");
		p += n;
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

static int write_header(const struct share_state *state, struct err *err)
{
	struct header header = {
	    .magic = STATE_MAGIC,
	    .start = (uint64_t)state->start,
	    .heard = state->heard,
	    .unsure = state->unsure,
	    .untold = state->untold,
	};

	return state->fd < 0 ? 0 : write_at(state->fd, &header, sizeof(header), 0, err);
}

/* The next block from *at on, which moves behind it. False at the end of the whole ones. */
static bool next_block(const struct share_state *state, off_t *at, struct block *ret_block)
{
	struct err err;

	if (state->end - *at < (off_t)sizeof(*ret_block) ||
	    read_at(state->fd, ret_block, sizeof(*ret_block), *at, &err) < 0 ||
	    (off_t)ret_block->length > state->end - *at - (off_t)sizeof(*ret_block))
		return false;
	*at += (off_t)sizeof(*ret_block) + (off_t)ret_block->length;
	return true;
}

/* Cuts off what a server that was killed had begun to write: its request was not answered. */
static int cut_tail(struct share_state *state, struct err *err)
{
	off_t at = state->start;
	struct block block;

	while (next_block(state, &at, &block))
		continue;
	state->end = at;
	return ftruncate(state->fd, at) < 0 ? err_sys(err, "cut the share's state") : 0;
}

int share_state_open(struct share_state *state, int fd, struct err *err)
{
	struct header header;
	struct stat st;

	*state = (struct share_state){
	    .fd = fd, .start = ALIGNMENT, .end = ALIGNMENT, .compact_at = ALIGNMENT + GROWTH};
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return err_sys(err, "look at the share's state");
	if (st.st_size == 0)
		return write_header(state, err);
	if (read_at(fd, &header, sizeof(header), 0, err) < 0)
		return -1;
	if (header.magic != STATE_MAGIC || header.start < (uint64_t)ALIGNMENT ||
	    (st.st_size > ALIGNMENT && header.start > (uint64_t)st.st_size) ||
	    (header.start <= (uint64_t)st.st_size && st.st_size - (off_t)header.start > STATE_MAX))
		return err_set(err, ERR_INVALID, "the share's state is damaged");
	state->start = (off_t)header.start;
	state->end = st.st_size > state->start ? st.st_size : state->start;
	state->heard = header.heard;
	state->unsure = header.unsure;
	state->untold = header.untold != 0;
	return cut_tail(state, err);
}

/* All blocks of a share, one after the other. */
static int collect(const struct share_state *state, uint32_t number, struct buf *ret_bytes,
		   struct err *err)
{
	off_t at = state->start;
	struct block block;

	while (next_block(state, &at, &block)) {
		uint8_t *space;

		if (block.number != number || block.length == 0)
			continue;
		space = buf_reserve(ret_bytes, block.length);
		if (!space)
			return err_set(err, ERR_INVALID, "the share's state is too large");
		if (read_at(state->fd, space, block.length, at - (off_t)block.length, err) < 0)
			return -1;
		buf_commit(ret_bytes, block.length);
	}
	return 0;
}

int share_state_load(struct share_state *state, struct share *share, uint32_t number,
		     struct err *err)
{
	auto_buf struct buf bytes;

	buf_init(&bytes, BLOCK_MAX);
	if (state->fd >= 0 && collect(state, number, &bytes, err) < 0)
		return -1;
	return share_load(share, buf_data(&bytes), buf_length(&bytes), err);
}

int share_state_say(struct share_state *state, uint64_t nonce, struct err *err)
{
	/* Two that nobody is sure of can only be one after the other; the older one was never
	 * alone on the link long enough to leave half a frame. */
	state->unsure = nonce;
	return write_header(state, err);
}

int share_state_heard(struct share_state *state, uint64_t nonce, struct err *err)
{
	state->heard = nonce;
	state->unsure = 0;
	return write_header(state, err);
}

int share_state_untold(struct share_state *state, bool untold, struct err *err)
{
	if (untold == state->untold)
		return 0;
	state->untold = untold;
	return write_header(state, err);
}

static int append(struct share_state *state, uint32_t number, const struct buf *bytes,
		  struct err *err)
{
	struct block block = {.number = number, .length = (uint32_t)buf_length(bytes)};

	/* In one go, and in this order: a write that a signal cut leaves a file that ends before
	 * the block does. */
	const struct iovec parts[] = {
	    {.iov_base = &block, .iov_len = sizeof(block)},
	    {.iov_base = (void *)(uintptr_t)buf_data(bytes), .iov_len = buf_length(bytes)},
	};
	size_t size = sizeof(block) + buf_length(bytes);

	if (pwritev(state->fd, parts, ARRAY_SIZE(parts), state->end) != (ssize_t)size)
		return err_sys(err, "write the share's state");
	state->end += (off_t)size;
	return 0;
}

int share_state_keep(struct share_state *state, struct share *share, uint32_t number,
		     struct err *err)
{
	struct buf *journal;
	int r = 0;

	if (state->fd < 0)
		return 0;
	journal = share_journal(share);
	if (buf_length(journal) > 0)
		r = append(state, number, journal, err);
	buf_clear(journal);
	return r;
}

bool share_state_grown(const struct share_state *state)
{
	return state->fd >= 0 && state->end > state->compact_at;
}

int share_state_compact(struct share_state *state, struct share *const *shares, uint32_t count,
			struct err *err)
{
	off_t old = state->start;
	off_t start;

	if (state->fd < 0)
		return 0;
	/* A snapshot is also a journal: until the header says otherwise both are read, in order. */
	start = state->end;
	for (uint32_t number = 0; number < count; number++) {
		auto_buf struct buf bytes;

		buf_init(&bytes, SNAPSHOT_MAX);
		if (!shares[number])
			continue;
		if (share_snapshot(shares[number], &bytes) < 0)
			return err_set(err, ERR_INVALID, "the share's state is too large");
		if (append(state, number, &bytes, err) < 0)
			return -1;
	}
	state->start = start;
	state->compact_at = state->end + GROWTH + 2 * (state->end - start);
	if (write_header(state, err) < 0)
		return -1;
#ifdef FALLOC_FL_PUNCH_HOLE
	if (start / ALIGNMENT > old / ALIGNMENT)
		(void)fallocate(state->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				old / ALIGNMENT * ALIGNMENT,
				(start / ALIGNMENT - old / ALIGNMENT) * ALIGNMENT);
#else
	(void)old;
#endif
	return 0;
}
