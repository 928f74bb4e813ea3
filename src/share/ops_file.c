/*
 * Requests about a file's content. Offsets and sizes are the guest's word and are checked against
 * what a file and an answer can hold before they are used.
 *
 * Where a file ends the guest's kernel knows only as of its last question, so what a program appends
 * is appended here, at the file's real end. If that is not where the kernel wrote it in its cache, it
 * is told so.
 */
#include "share/changes.h"
#include "share/fd_cache.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define COPY_MAX (16u << 20) /* of one COPY_FILE_RANGE: nobody else is served meanwhile */

static bool range_ok(uint64_t offset, uint64_t length)
{
	return offset <= INT64_MAX && length <= (uint64_t)INT64_MAX - offset;
}

int op_read(struct call *call)
{
	struct fuse_read_in in;
	uint8_t *space;
	size_t used = 0;
	int r = call_take(call, &in, sizeof(in));
	int fd;

	if (r < 0)
		return r;
	if (in.size > SHARE_READ_MAX || !range_ok(in.offset, in.size))
		return -EINVAL;
	fd = fd_cache_get(call->share, call->node, false);
	if (fd < 0)
		return fd;
	space = buf_reserve(call->reply, in.size);
	if (!space)
		return -EIO;
	while (used < in.size) {
		ssize_t n = pread(fd, space + used, in.size - used, (off_t)(in.offset + used));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	buf_commit(call->reply, used);
	return 0;
}

/* Whether the file has these bytes there, or their beginning and then its end. */
static bool holds(int fd, uint64_t offset, const uint8_t *bytes, size_t length)
{
	uint8_t there[4096];

	for (size_t at = 0; at < length;) {
		size_t part = length - at < sizeof(there) ? length - at : sizeof(there);
		ssize_t n = pread(fd, there, part, (off_t)(offset + at));

		if (n <= 0)
			return at > 0;
		if (memcmp(there, bytes + at, (size_t)n) != 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

/* What another server may have appended before it died is written in its place once more. */
static bool appends(const struct call *call, const struct fuse_write_in *in, int fd)
{
	return (in->flags & FUSE_O_APPEND) && !(in->write_flags & FUSE_WRITE_CACHE) &&
	       !(call->again && holds(fd, in->offset, call->body, in->size));
}

int op_write(struct call *call)
{
	struct fuse_write_in in;
	struct fuse_write_out out = {0};
	bool append;
	int r = call_take(call, &in, sizeof(in));
	int fd;

	if (r == 0)
		r = share_writable(call->share);
	if (r < 0)
		return r;
	if (in.size > SHARE_READ_MAX || in.size > call->length || !range_ok(in.offset, in.size))
		return -EINVAL;
	fd = fd_cache_get(call->share, call->node, true);
	if (fd < 0)
		return fd;
	append = appends(call, &in, fd);
	changes_before_own(call->share, call->node, fd);
	while (out.size < in.size) {
		const uint8_t *bytes = call->body + out.size;
		size_t left = in.size - out.size;
		ssize_t n = append ? os_append(fd, bytes, left)
				   : pwrite(fd, bytes, left, (off_t)(in.offset + out.size));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && out.size == 0)
			return -errno;
		if (n <= 0)
			break;
		out.size += (uint32_t)n;
	}
	changes_own(call->share, call->node, fd);
	if (append && call->node->seen.size != in.offset + out.size)
		changes_tell(call->share, call->node);
	return call_put(call, &out, sizeof(out));
}

int op_fsync(struct call *call)
{
	struct fuse_fsync_in in;
	int r = call_take(call, &in, sizeof(in));
	int fd;

	if (r < 0)
		return r;
	/* Syncing needs no right to write; the content may have come through an earlier one. */
	fd = fd_cache_get(call->share, call->node, false);
	if (fd < 0)
		return fd;
#ifdef __linux__
	r = (in.fsync_flags & FUSE_FSYNC_FDATASYNC) ? fdatasync(fd) : fsync(fd);
#else
	r = fsync(fd);
#endif
	return r < 0 ? -errno : 0;
}

int op_fallocate(struct call *call)
{
	static const uint32_t modes[] = {
	    0, FUSE_FALLOC_KEEP_SIZE, FUSE_FALLOC_PUNCH | FUSE_FALLOC_KEEP_SIZE, FUSE_FALLOC_ZERO,
	    FUSE_FALLOC_ZERO | FUSE_FALLOC_KEEP_SIZE};
	struct fuse_fallocate_in in;
	bool known = false;
	int r = call_take(call, &in, sizeof(in));
	int fd;

	if (r == 0)
		r = share_writable(call->share);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		known = known || modes[i] == in.mode;
	if (!known)
		return -EOPNOTSUPP;
	if (in.length == 0 || !range_ok(in.offset, in.length))
		return -EINVAL;
	fd = fd_cache_get(call->share, call->node, true);
	if (fd < 0)
		return fd;
	changes_before_own(call->share, call->node, fd);
	r = os_fallocate(fd, in.mode, (off_t)in.offset, (off_t)in.length);
	changes_own(call->share, call->node, fd);
	return r;
}

int op_lseek(struct call *call)
{
	struct fuse_lseek_in in;
	struct fuse_lseek_out out;
	off_t at;
	int r = call_take(call, &in, sizeof(in));
	int fd;

	if (r < 0)
		return r;
	if ((in.whence != FUSE_SEEK_DATA && in.whence != FUSE_SEEK_HOLE) || !range_ok(in.offset, 0))
		return -EINVAL;
	fd = fd_cache_get(call->share, call->node, false);
	if (fd < 0)
		return fd;
	at = os_seek(fd, (off_t)in.offset, in.whence);
	if (at < 0)
		return (int)at;
	out.offset = (uint64_t)at;
	return call_put(call, &out, sizeof(out));
}

int op_copy_file_range(struct call *call)
{
	struct fuse_copy_file_range_in in;
	struct fuse_write_out out = {0};
	struct node *to;
	ssize_t n;
	int r = call_take(call, &in, sizeof(in));
	int from_fd;
	int to_fd;

	if (r == 0)
		r = share_writable(call->share);
	if (r < 0)
		return r;
	to = share_node(call->share, in.nodeid_out);
	if (!to)
		return -ESTALE;
	if (in.len > COPY_MAX)
		in.len = COPY_MAX;
	if (in.flags != 0 || !range_ok(in.off_in, in.len) || !range_ok(in.off_out, in.len))
		return -EINVAL;
	/* Within one file there is one descriptor. */
	from_fd = fd_cache_get(call->share, call->node, to == call->node);
	to_fd = from_fd < 0 ? from_fd : fd_cache_get(call->share, to, true);
	if (to_fd < 0)
		return to_fd;
	/* Where there are no more descriptors, opening the second closed the first: the guest's kernel
	 * reads and writes then. */
	if (call->node->fd < 0)
		return -EOPNOTSUPP;
	changes_before_own(call->share, to, to_fd);
	n = os_copy_range(from_fd, (off_t)in.off_in, to_fd, (off_t)in.off_out, (size_t)in.len);
	if (n < 0)
		return (int)n == -EXDEV ? -EOPNOTSUPP : (int)n;
	out.size = (uint32_t)n;
	changes_own(call->share, to, to_fd);
	return call_put(call, &out, sizeof(out));
}
