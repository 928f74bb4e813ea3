/* The machine that is none: the agent on this host, behind the same seam as QEMU. */
#include "test.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "temp_dir.h"
#include "vm/vm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define LIMIT_MS 30000

struct rig {
	uv_loop_t loop;
	uv_timer_t limit;
	struct temp_dir dir;
	struct vm_spec spec;
	struct vm *vm;
	char *program;
	int agent_peer;
	int share_peer;
	int gone;
	bool timed_out;
	struct vm_exit exit;
};

static void on_gone(void *ctx, const struct vm_exit *exit)
{
	struct rig *rig = ctx;

	rig->gone++;
	rig->exit = *exit;
	uv_stop(&rig->loop);
}

static const struct vm_events events = {.gone = on_gone};

static void on_limit(uv_timer_t *timer)
{
	struct rig *rig = timer->data;

	rig->timed_out = true;
	uv_stop(&rig->loop);
}

static void make_pair(int *ret_a, int *ret_b)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		abort();
	*ret_a = ends[0];
	*ret_b = ends[1];
}

/* script: what runs in the agent's place; NULL for the real one. */
static void rig_init(struct rig *rig, const char *script)
{
	*rig = (struct rig){.dir = temp_dir_make()};
	if (script) {
		temp_dir_put_text(&rig->dir, "agent", script);
		rig->program = xasprintf("%s/agent", rig->dir.path);
		if (chmod(rig->program, 0700) < 0)
			abort();
	} else {
		struct err err = ERR_INIT;
		auto_free char *self = path_self(&err);

		*strrchr(self, '/') = '\0';
		rig->program = xasprintf("%s/../../src/agent/dxvm-agent", self);
	}
	rig->spec = (struct vm_spec){
	    .id = "00",
	    .agent_program = rig->program,
	    .project_dir = rig->dir.path,
	    .console_fd = -1,
	};
	if (uv_loop_init(&rig->loop) != 0)
		abort();
	(void)uv_timer_init(&rig->loop, &rig->limit);
	rig->limit.data = rig;
	make_pair(&rig->spec.agent_fd, &rig->agent_peer);
	make_pair(&rig->spec.share_fd, &rig->share_peer);
}

static int rig_start(struct rig *rig, struct err *err)
{
	int started = vm_fake.start(&rig->spec, &rig->loop, &events, rig, &rig->vm, err);

	(void)close(take_fd(&rig->spec.agent_fd));
	(void)close(take_fd(&rig->spec.share_fd));
	return started;
}

static void rig_run(struct rig *rig)
{
	(void)uv_timer_start(&rig->limit, on_limit, LIMIT_MS, 0);
	(void)uv_run(&rig->loop, UV_RUN_DEFAULT);
	(void)uv_timer_stop(&rig->limit);
	CHECK(!rig->timed_out);
}

static void rig_done(struct rig *rig)
{
	if (rig->vm)
		vm_fake.free(rig->vm);
	uv_close((uv_handle_t *)&rig->limit, NULL);
	(void)uv_run(&rig->loop, UV_RUN_DEFAULT);
	CHECK_INT(uv_loop_close(&rig->loop), 0);
	cleanup_close(&rig->spec.agent_fd);
	cleanup_close(&rig->spec.share_fd);
	cleanup_close(&rig->agent_peer);
	cleanup_close(&rig->share_peer);
	free(rig->program);
	temp_dir_done(&rig->dir);
}
#define auto_rig CLEANUP(rig_done)

/* Whether something can be read, or the end. */
static bool becomes_readable(int fd)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};

	return poll(&pollfd, 1, LIMIT_MS) == 1;
}

static void the_agent_speaks_on_its_port_and_ends_when_told(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;
	char byte;

	rig_init(&rig, NULL);
	if (access(rig.program, X_OK) < 0)
		SKIP("needs the agent beside this test's build");
	CHECK(rig_start(&rig, &err) == 0);
	CHECK(vm_fake.pid(rig.vm) > 0);
	CHECK(becomes_readable(rig.agent_peer));
	CHECK_INT(recv(rig.agent_peer, &byte, 1, MSG_PEEK), 1);
	vm_fake.power_button(rig.vm);
	rig_run(&rig);
	CHECK_INT(rig.gone, 1);
	CHECK(rig.exit.expected);
	CHECK_INT(vm_fake.pid(rig.vm), 0);
}

static void it_gets_the_ports_and_the_project(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;
	auto_free char *shown = NULL;
	auto_buf struct buf text;

	rig_init(&rig, "#!/bin/sh\n[ -S /dev/fd/3 ] && [ -S /dev/fd/4 ] && [ ! -e /dev/fd/5 ] || "
		       "exit 9\necho \"$@\" >\"$7/arguments\"\n");
	buf_init(&text, 4096);
	CHECK(vm_fake.describe(&rig.spec, &text, &err) == 0);
	shown = buf_take_string(&text);
	CHECK(strstr(shown, "\n--link-fd\n3\n--share-fd\n4\n--fake\n--project\n/tmp/") != NULL);
	CHECK(rig_start(&rig, &err) == 0);
	rig_run(&rig);
	CHECK_STR(rig.exit.text, "");
	CHECK(rig.exit.expected);
	CHECK(faccessat(rig.dir.fd, "arguments", R_OK, 0) == 0);
}

static void a_death_is_told_with_its_last_words(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "#!/bin/sh\nprintf 'one\\ntwo \\033[2J\\n' >&2\nexit 3\n");
	CHECK(rig_start(&rig, &err) == 0);
	rig_run(&rig);
	CHECK_INT(rig.gone, 1);
	CHECK(!rig.exit.expected);
	CHECK_STR(rig.exit.text, "the agent exited with status 3: one; two \\x1b[2J");
}

static void killing_it_is_expected(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "#!/bin/sh\nexec sleep 1000\n");
	CHECK(rig_start(&rig, &err) == 0);
	vm_fake.kill(rig.vm);
	CHECK_INT(rig.gone, 0);
	rig_run(&rig);
	CHECK_INT(rig.gone, 1);
	CHECK(rig.exit.expected);
}

static void freeing_it_ends_it_without_an_event(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;
	pid_t pid;

	rig_init(&rig, "#!/bin/sh\nexec sleep 1000\n");
	CHECK(rig_start(&rig, &err) == 0);
	pid = vm_fake.pid(rig.vm);
	vm_fake.free(take_ptr(&rig.vm));
	CHECK(kill(pid, 0) < 0 && errno == ESRCH);
	(void)uv_run(&rig.loop, UV_RUN_NOWAIT);
	CHECK_INT(rig.gone, 0);
}

static void a_missing_agent_is_an_error_at_start(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "");
	rig.spec.agent_program = "/nonexistent/dxvm-agent";
	CHECK(rig_start(&rig, &err) < 0);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK(strstr(err.text, "/nonexistent/dxvm-agent") != NULL);
}

TEST_MAIN(TEST(the_agent_speaks_on_its_port_and_ends_when_told),
	  TEST(it_gets_the_ports_and_the_project), TEST(a_death_is_told_with_its_last_words),
	  TEST(killing_it_is_expected), TEST(freeing_it_ends_it_without_an_event),
	  TEST(a_missing_agent_is_an_error_at_start))
