#include "cli/output.h"
#include "unit/test.h"
#include "wire/proto.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static const uint8_t zeros[PROTO_WINDOW];
static size_t seen;

static void see(const void *bytes, size_t length)
{
	(void)bytes;
	seen += length;
}

/* What a reader gets that takes all there is, without waiting for more. */
static size_t drain(int fd)
{
	static uint8_t bytes[PROTO_WINDOW];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	return n > 0 ? (size_t)n : 0;
}

static void a_reader_that_stands_still_holds_nobody_and_loses_nothing(void)
{
	for (int plain = 0; plain < 2; plain++) {
		struct output output;
		int ends[2];
		size_t written;
		size_t read;

		CHECK(pipe(ends) == 0);
		output_init(&output, ends[1]);
		if (plain) /* as with a kernel that cannot be asked */
			output.may_ask = false;
		CHECK_INT(buf_append(&output.bytes, zeros, sizeof(zeros)), 0);
		(void)alarm(20); /* a write that blocks ends here */
		written = output_write(&output, NULL);
		CHECK(written > 0 && written < sizeof(zeros));
		CHECK_INT(buf_length(&output.bytes), sizeof(zeros) - written);
		CHECK_INT(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
		read = drain(ends[0]);
		CHECK_INT(read, written);
		while (buf_length(&output.bytes) > 0) {
			written += output_write(&output, NULL);
			read += drain(ends[0]);
		}
		CHECK_INT(written, sizeof(zeros));
		CHECK_INT(read, sizeof(zeros));
		(void)alarm(0);
		output_done(&output);
		(void)close(ends[0]);
		(void)close(ends[1]);
	}
}

static void a_file_takes_all_at_once(void)
{
	struct output output;
	char name[] = "/tmp/dxvm-test-XXXXXX";
	int fd = mkstemp(name);

	(void)unlink(name);
	output_init(&output, fd);
	CHECK_INT(buf_append(&output.bytes, zeros, sizeof(zeros)), 0);
	CHECK_INT(output_write(&output, see), sizeof(zeros));
	CHECK_INT(seen, sizeof(zeros));
	CHECK_INT(lseek(fd, 0, SEEK_END), sizeof(zeros));
	output_done(&output);
	(void)close(fd);
}

static void what_nobody_reads_any_more_is_taken_as_read_and_not_as_seen(void)
{
	struct output output;
	int ends[2];

	CHECK(pipe(ends) == 0);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)close(ends[0]);
	seen = 0;
	output_init(&output, ends[1]);
	CHECK_INT(buf_append(&output.bytes, zeros, sizeof(zeros)), 0);
	CHECK_INT(output_write(&output, see), sizeof(zeros));
	CHECK_INT(buf_length(&output.bytes), 0);
	CHECK_INT(seen, 0);
	output_done(&output);
	(void)close(ends[1]);
}

TEST_MAIN(TEST(a_reader_that_stands_still_holds_nobody_and_loses_nothing),
	  TEST(a_file_takes_all_at_once),
	  TEST(what_nobody_reads_any_more_is_taken_as_read_and_not_as_seen))
