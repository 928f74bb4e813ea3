/* The guest's console in a file that a guest cannot fill the disk with. */
#include "test.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "temp_dir.h"
#include "vm/console.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct rig {
	uv_loop_t loop;
	struct temp_dir dir;
	struct console *console;
	int guest; /* the guest's end */
	int file;
};

static void rig_init(struct rig *rig, const char *before)
{
	struct err err = ERR_INIT;
	int ends[2];

	*rig = (struct rig){.dir = temp_dir_make()};
	temp_dir_put_text(&rig->dir, "console", before);
	rig->file = openat(rig->dir.fd, "console", O_RDWR | O_APPEND | O_CLOEXEC);
	if (rig->file < 0 || uv_loop_init(&rig->loop) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		abort();
	rig->guest = ends[1];
	if (console_start(&rig->loop, ends[0], rig->file, &rig->console, &err) < 0)
		abort();
}

static void rig_done(struct rig *rig)
{
	console_free(rig->console);
	(void)uv_run(&rig->loop, UV_RUN_DEFAULT);
	CHECK_INT(uv_loop_close(&rig->loop), 0);
	cleanup_close(&rig->guest);
	cleanup_close(&rig->file);
	temp_dir_done(&rig->dir);
}
#define auto_rig CLEANUP(rig_done)

/* A short write into the socket cannot happen with what the console has read before. */
static void say(struct rig *rig, const char *text)
{
	if (write(rig->guest, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	(void)uv_run(&rig->loop, UV_RUN_NOWAIT);
	console_drain(rig->console);
}

static off_t size(const struct rig *rig)
{
	struct stat st;

	return fstat(rig->file, &st) == 0 ? st.st_size : -1;
}

static void what_the_guest_prints_is_appended(void)
{
	auto_rig struct rig rig;
	char text[32] = "";

	rig_init(&rig, "before\n");
	say(&rig, "one\n");
	say(&rig, "two\n");
	CHECK(pread(rig.file, text, sizeof(text) - 1, 0) > 0);
	CHECK_STR(text, "before\none\ntwo\n");
}

static void a_flood_keeps_the_newest_and_stays_bounded(void)
{
	auto_rig struct rig rig;
	char line[80];
	char end[80] = "";
	off_t most = 0;

	rig_init(&rig, "");
	for (int i = 0; i < 100000; i++) {
		(void)snprintf(line, sizeof(line), "%063d\n", i);
		say(&rig, line);
		most = size(&rig) > most ? size(&rig) : most;
	}
	CHECK(most <= CONSOLE_MAX);
	CHECK(size(&rig) >= CONSOLE_MAX / 2);
	CHECK(pread(rig.file, end, 64, size(&rig) - 64) == 64);
	CHECK_STR(end, line);
}

static void the_first_panic_is_kept_across_pieces(void)
{
	auto_rig struct rig rig;

	rig_init(&rig, "");
	CHECK_STR(console_panic(rig.console), "");
	say(&rig, "[  1.0] Kernel pa");
	say(&rig, "nic - not syncing: no init\x1b[0m");
	CHECK_STR(console_panic(rig.console), "");
	say(&rig, "\r\nKernel panic again\n");
	CHECK_STR(console_panic(rig.console), "Kernel panic - not syncing: no init\\x1b[0m");
}

static void a_line_without_end_costs_nothing(void)
{
	auto_rig struct rig rig;
	static char piece[4097];

	rig_init(&rig, "");
	memset(piece, 'x', sizeof(piece) - 1);
	for (int i = 0; i < 100; i++)
		say(&rig, piece);
	say(&rig, "\nKernel panic - not syncing: late\n");
	CHECK_STR(console_panic(rig.console), "Kernel panic - not syncing: late");
}

static void the_end_of_the_guest_is_no_error(void)
{
	auto_rig struct rig rig;

	rig_init(&rig, "");
	(void)close(take_fd(&rig.guest));
	for (int i = 0; i < 3; i++)
		(void)uv_run(&rig.loop, UV_RUN_NOWAIT);
	CHECK_INT(uv_loop_alive(&rig.loop), 0);
}

TEST_MAIN(TEST(what_the_guest_prints_is_appended), TEST(a_flood_keeps_the_newest_and_stays_bounded),
	  TEST(the_first_panic_is_kept_across_pieces), TEST(a_line_without_end_costs_nothing),
	  TEST(the_end_of_the_guest_is_no_error))
