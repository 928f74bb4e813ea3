/*
 * Theory. A pipe takes PIPE_BUF bytes without blocking when poll calls it writable, and since Linux
 * 6.4 it can be asked to take what it has room for (RWF_NOWAIT), which does not touch the flags
 * that others see. The former wakes the reader for every 4 KiB. A regular file takes anything; a
 * terminal gets little pieces, so that it can be stopped between them.
 */
#include "cli/output.h"

#include "wire/proto.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

void output_init(struct output *output, int fd)
{
	struct stat st;
	mode_t type = fstat(fd, &st) == 0 ? st.st_mode & S_IFMT : 0;

	*output = (struct output){.fd = fd,
				  .most = type == S_IFREG ? PROTO_WINDOW : PIPE_BUF,
				  .may_ask = type == S_IFIFO};
	buf_init(&output->bytes, PROTO_WINDOW);
}

void output_done(struct output *output)
{
	buf_done(&output->bytes);
}

static ssize_t write_now(struct output *output)
{
	const uint8_t *bytes = buf_data(&output->bytes);
	size_t length = buf_length(&output->bytes);

#ifdef RWF_NOWAIT /* Linux */
	if (output->may_ask) {
		const struct iovec all = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
		ssize_t n = pwritev2(output->fd, &all, 1, -1, RWF_NOWAIT);

		if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
			return n;
		output->may_ask = false;
	}
#endif
	return write(output->fd, bytes, length < output->most ? length : output->most);
}

/* 0: nothing was taken. */
static size_t write_some(struct output *output, void (*saw)(const void *bytes, size_t length))
{
	size_t waiting = buf_length(&output->bytes);
	ssize_t n = write_now(output);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n >= 0 && saw)
		saw(buf_data(&output->bytes), (size_t)n);
	if (n < 0 && !output->failure)
		output->failure = errno;
	if (n < 0)
		n = (ssize_t)(waiting < output->most ? waiting : output->most);
	buf_consume(&output->bytes, (size_t)n);
	return (size_t)n;
}

size_t output_write(struct output *output, void (*saw)(const void *bytes, size_t length))
{
	struct pollfd p = {.fd = output->fd, .events = POLLOUT};
	size_t written = 0;
	size_t n;

	do {
		n = write_some(output, saw);
		written += n;
	} while (n > 0 && buf_length(&output->bytes) > 0 && poll(&p, 1, 0) > 0);
	return written;
}
