#include "guest/initrd.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/newc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#define COPY_CHUNK  ((size_t)1 << 20)
#define ARCHIVE_MAX ((size_t)129 << 20)
#define PROGRAM_MAX ((size_t)64 << 20)
#define ALIGNMENT   4

static int make_nameless_file(int *ret_fd, struct err *err)
{
#ifdef __linux__
	*ret_fd = memfd_create("initrd", MFD_CLOEXEC);
#else
	char path[] = "/tmp/dxvm-initrd-XXXXXX";

	*ret_fd = mkostemp(path, O_CLOEXEC);
	if (*ret_fd >= 0)
		(void)unlink(path);
#endif
	return *ret_fd < 0 ? err_sys(err, "create a file for the initrd") : 0;
}

/* Appends the whole file; *ret_length is how much that was. */
static int copy_all(int from, int to, off_t *ret_length, struct err *err)
{
	auto_free char *chunk = xmalloc(COPY_CHUNK);
	off_t at = 0;

	for (;;) {
		ssize_t n = pread(from, chunk, COPY_CHUNK, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "read");
		if (n == 0)
			break;
		if (file_write_all(to, chunk, (size_t)n, err) < 0)
			return -1;
		at += n;
	}
	*ret_length = at;
	return 0;
}

static int read_program(int program, uint8_t **ret_data, size_t *ret_length, struct err *err)
{
	struct stat st;

	if (fstat(program, &st) < 0)
		return err_sys(err, "a program of the guest's");
	if (st.st_size <= 0 || (size_t)st.st_size > PROGRAM_MAX)
		return err_set(err, ERR_INVALID, "a program of the guest's has %lld bytes",
			       (long long)st.st_size);
	auto_free uint8_t *data = xmalloc((size_t)st.st_size);
	for (size_t used = 0; used < (size_t)st.st_size;) {
		ssize_t n = pread(program, data + used, (size_t)st.st_size - used, (off_t)used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? err_sys(err, "read a program of the guest's")
				     : err_set(err, ERR_INVALID,
					       "a program of the guest's became shorter");
		used += (size_t)n;
	}
	*ret_data = take_ptr(&data);
	*ret_length = (size_t)st.st_size;
	return 0;
}

static int add_program(struct newc *newc, const char *name, int program, struct err *err)
{
	auto_free uint8_t *data = NULL;
	size_t length;

	if (read_program(program, &data, &length, err) < 0)
		return -1;
	return newc_file(newc, name, 0755, data, length, err);
}

static int append_programs(int agent, int devbox, int to, struct err *err)
{
	auto_buf struct buf archive;
	struct newc newc;

	buf_init(&archive, ARCHIVE_MAX);
	newc_init(&newc, &archive);
	if (add_program(&newc, "init", agent, err) < 0 ||
	    add_program(&newc, "dxvm-devbox", devbox, err) < 0 || newc_end(&newc, err) < 0)
		return -1;
	return file_write_all(to, buf_data(&archive), buf_length(&archive), err);
}

/* An archive starts at a multiple of 4; the kernel skips zeros between two. */
static int pad(int fd, off_t length, struct err *err)
{
	static const char zeros[ALIGNMENT];

	return file_write_all(fd, zeros, (size_t)((ALIGNMENT - length % ALIGNMENT) % ALIGNMENT),
			      err);
}

int guest_initrd_compose(int initrd, int agent, int devbox, int *ret_fd, struct err *err)
{
	auto_close int fd = -1;
	off_t length;

	if (make_nameless_file(&fd, err) < 0 || copy_all(initrd, fd, &length, err) < 0 ||
	    pad(fd, length, err) < 0 || append_programs(agent, devbox, fd, err) < 0)
		return err_wrap(err, "make the initrd");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, "make the initrd");
	*ret_fd = take_fd(&fd);
	return 0;
}
