/* The state of a machine, out and in: with a QEMU that a script plays, which says in which order it is
 * asked and can refuse, and with a real one. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "qemu_rig.h"
#include "test.h"

#include <fcntl.h>
#include <sys/mman.h>

/* say TEXT; expect WORD: the next command has it; ok [VALUE]: is answered so; refuse. */
#define TALK                                                                                       \
	"#!/bin/bash\n"                                                                            \
	"say() { echo \"$1\" >&3; }\n"                                                             \
	"expect() { read -r line <&3 || exit 8; case $line in *$1*) id=${line##*\\\"id\\\":}; "    \
	"id=${id%%[\\},]*};; *) echo \"wants $1, got $line\" >&2; exit 9;; esac; }\n"              \
	"ok() { say \"{\\\"return\\\": ${1:-{\\}}, \\\"id\\\": $id}\"; }\n"                        \
	"refuse() { say \"{\\\"error\\\": {\\\"class\\\": \\\"GenericError\\\", \\\"desc\\\": "    \
	"\\\"$1\\\"}, \\\"id\\\": $id}\"; }\n"                                                     \
	"status() { ok \"{\\\"status\\\": \\\"$1\\\"${2:+, \\\"error-desc\\\": \\\"$2\\\"}}\"; "   \
	"}\n"                                                                                      \
	"end() { say '{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"guest-shutdown\"}}'; "    \
	"exit 0; }\n"                                                                              \
	"say '{\"QMP\": {}}'; expect qmp_capabilities; ok\n"

#define SAVE                                                                                       \
	"expect '\"stop\"'; ok; expect x-ignore-shared; ok\n"                                      \
	"expect max-bandwidth; ok; expect getfd; ok; expect fd:state; ok\n"

#define LOAD "expect x-ignore-shared; ok; expect announce-rounds; ok; expect migrate-incoming; ok\n"

static void begin(struct rig *rig, const char *talk, bool loads)
{
	struct err err = ERR_INIT;

	rig_put_program(rig, talk);
	rig->spec.incoming = loads;
	rig->spec.state_fd = memfd_create("state", MFD_CLOEXEC);
	CHECK(rig_start_with_path(rig, rig->dir.path, &err) == 0);
	CHECK_INT(loads ? vm_qemu.load(rig->vm, &err)
			: vm_qemu.save(rig->vm, rig->spec.state_fd, &err),
		  0);
	(void)close(rig->spec.state_fd);
}

static void a_save_is_asked_for_until_it_is_complete_and_ends_the_machine(void)
{
	auto_rig struct rig rig;

	rig_init(&rig, "p");
	begin(&rig,
	      TALK SAVE "for i in 1 2 3; do expect query-migrate; status active; done\n"
			"expect query-migrate; status completed; expect '\"quit\"'; ok\n",
	      false);
	rig_run(&rig);
	CHECK_INT(rig.saved, 1);
	CHECK_STR(rig.failure, "");
	CHECK(rig.exit.expected);
	CHECK_STR(rig.exit.text, "");
}

static void after_a_save_that_failed_the_guest_goes_on(void)
{
	auto_rig struct rig rig;

	rig_init(&rig, "p");
	begin(&rig,
	      TALK SAVE "expect query-migrate; status failed 'no space'\n"
			"expect '\"cont\"'; ok; end\n",
	      false);
	rig_run(&rig);
	CHECK_INT(rig.saved, 1);
	CHECK_STR(rig.failure, "QEMU could not save its state: no space");
	CHECK(rig.exit.expected);
}

/* Each in turn, the ones before it answered. */
static void any_command_of_a_save_that_is_refused_lets_the_guest_go_on(void)
{
	static const char *const commands[] = {"'\"stop\"'", "x-ignore-shared", "max-bandwidth",
					       "getfd", "fd:state"};

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		auto_rig struct rig rig;
		auto_free char *talk = xstrdup(TALK);

		for (size_t k = 0; k <= i; k++) {
			char *longer = xasprintf("%sexpect %s; %s\n", talk, commands[k],
						 k < i ? "ok" : "refuse 'not now'");

			free(talk);
			talk = longer;
		}
		auto_free char *whole = xasprintf("%sexpect '\"cont\"'; ok; end\n", talk);
		rig_init(&rig, "p");
		begin(&rig, whole, false);
		rig_run(&rig);
		CHECK_INT(rig.saved, 1);
		CHECK(strstr(rig.failure, "not now") != NULL);
		CHECK(rig.exit.expected);
	}
}

static void a_load_is_over_when_the_machine_says_so_and_not_before(void)
{
	auto_rig struct rig rig;

	rig_init(&rig, "p");
	begin(&rig,
	      TALK LOAD "for i in 1 2 3; do expect query-status; status inmigrate; done\n"
			"expect query-status; status paused; expect '\"cont\"'; ok; end\n",
	      true);
	rig_run_until(&rig, &rig.loaded);
	CHECK_INT(rig.loaded, 1);
	CHECK_STR(rig.failure, "");
	vm_qemu.cont(rig.vm);
	rig_run(&rig);
	CHECK(rig.exit.expected);
}

static void a_load_that_is_refused_is_a_failure_with_its_reason(void)
{
	auto_rig struct rig rig;

	rig_init(&rig, "p");
	begin(&rig,
	      TALK
	      "expect x-ignore-shared; ok; expect announce-rounds; ok; expect migrate-incoming\n"
	      "refuse 'unknown savevm section'; read -r line <&3\n",
	      true);
	rig_run_until(&rig, &rig.loaded);
	CHECK_INT(rig.loaded, 1);
	CHECK(strstr(rig.failure, "unknown savevm section") != NULL);
	vm_qemu.kill(rig.vm);
	rig_run(&rig);
	CHECK(rig.exit.expected);
}

/* It exits when it cannot read its state: what it said is why. */
static void a_machine_that_dies_in_the_middle_is_gone_and_nothing_else_is_told(void)
{
	for (int loads = 0; loads <= 1; loads++) {
		auto_rig struct rig rig;

		rig_init(&rig, "p");
		begin(&rig,
		      loads ? TALK LOAD "echo 'load of migration failed' >&2; exit 1\n"
			    : TALK SAVE "echo 'migration is not possible' >&2; exit 1\n",
		      loads);
		rig_run(&rig);
		CHECK_INT(rig.gone, 1);
		CHECK_INT(rig.saved + rig.loaded, 0);
		CHECK(!rig.exit.expected);
		CHECK(strstr(rig.exit.text, loads ? "load of migration failed"
						  : "migration is not possible") != NULL);
	}
}

static void what_cannot_be_sent_is_a_failure_at_once(void)
{
	auto_rig struct rig rig;
	struct err err = ERR_INIT;

	rig_init(&rig, "p");
	rig_put_program(&rig, "#!/bin/sh\nexec 3>&-\nwhile :; do /bin/sleep 1; done\n");
	CHECK(rig_start_with_path(&rig, rig.dir.path, &err) == 0);
	/* Until QMP is over, and not the machine. */
	for (int i = 0; i < 50; i++) {
		(void)uv_run(&rig.loop, UV_RUN_NOWAIT);
		(void)usleep(10000);
	}
	auto_close int state = memfd_create("state", MFD_CLOEXEC);
	CHECK_INT(rig.gone, 0);
	for (int i = 0; i < 2; i++) { /* which was no save that is under way */
		CHECK_INT(vm_qemu.save(rig.vm, state, &err), -1);
		CHECK_INT(err.code, ERR_PROTOCOL);
	}
	rig_run(&rig);
	CHECK_INT(rig.gone, 1);
	CHECK_INT(rig.saved, 0);
}

static void two_at_once_are_refused(void)
{
	auto_rig struct rig rig;
	struct err err = ERR_INIT;

	rig_init(&rig, "p");
	begin(&rig, TALK SAVE "expect query-migrate; status completed; expect '\"quit\"'; ok\n",
	      false);
	auto_close int another = memfd_create("another", MFD_CLOEXEC);
	CHECK_INT(vm_qemu.save(rig.vm, another, &err), -1);
	CHECK_INT(err.code, ERR_BUSY);
	rig_run(&rig);
	CHECK_INT(rig.saved, 1);
}

static void a_real_guest_goes_on_in_another_machine_on_the_same_memory(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;
	auto_rig struct rig next;

	rig_init(&rig, "b");
	rig_init(&next, "b");
	NEED_QEMU();
	CHECK(rig_start(&rig, &err) == 0);
	rig_run_until_up(&rig);
	auto_close int state = memfd_create("state", MFD_CLOEXEC);
	CHECK_INT(vm_qemu.save(rig.vm, state, &err), 0);
	rig_run(&rig);
	CHECK_INT(rig.saved, 1);
	CHECK_STR(rig.failure, "");
	CHECK(rig.exit.expected);
	CHECK(lseek(state, 0, SEEK_END) > 10000 && lseek(state, 0, SEEK_SET) == 0);
	(void)close(next.spec.ram_fd);
	next.spec.ram_fd = fcntl(rig.spec.ram_fd, F_DUPFD_CLOEXEC, 0);
	next.spec.incoming = true;
	next.spec.state_fd = state;
	CHECK(rig_start(&next, &err) == 0);
	CHECK_INT(vm_qemu.load(next.vm, &err), 0);
	rig_run_until(&next, &next.loaded);
	CHECK_INT(next.loaded, 1);
	CHECK_STR(next.failure, "");
	vm_qemu.cont(next.vm);
	vm_qemu.power_button(next.vm);
	rig_run(&next);
	CHECK(next.exit.expected && !next.timed_out);
	/* "up" in both together: it goes on where it stood, be that in the middle of the word. */
	CHECK_INT(
	    lseek(rig.spec.console_fd, 0, SEEK_END) + lseek(next.spec.console_fd, 0, SEEK_END), 3);
}

TEST_MAIN(TEST(a_save_is_asked_for_until_it_is_complete_and_ends_the_machine),
	  TEST(after_a_save_that_failed_the_guest_goes_on),
	  TEST(any_command_of_a_save_that_is_refused_lets_the_guest_go_on),
	  TEST(a_load_is_over_when_the_machine_says_so_and_not_before),
	  TEST(a_load_that_is_refused_is_a_failure_with_its_reason),
	  TEST(a_machine_that_dies_in_the_middle_is_gone_and_nothing_else_is_told),
	  TEST(what_cannot_be_sent_is_a_failure_at_once), TEST(two_at_once_are_refused),
	  TEST(a_real_guest_goes_on_in_another_machine_on_the_same_memory))
