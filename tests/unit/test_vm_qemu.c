/* The QEMU backend with a real QEMU. */
#include "test.h"

#include "base/cleanup.h"
#include "qemu_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

static void powering_off_is_an_expected_end_and_the_ports_end_with_it(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;
	char text[16] = "";
	char byte;

	rig_init(&rig, "p");
	NEED_QEMU();
	CHECK(rig_start(&rig, &err) == 0);
	CHECK_STR(err.text, "");
	rig_run(&rig);
	CHECK_INT(rig.gone, 1);
	CHECK(rig.exit.expected);
	CHECK_STR(rig.exit.text, "");
	CHECK_INT(vm_qemu.pid(rig.vm), 0);
	CHECK(pread(rig.spec.console_fd, text, sizeof(text) - 1, 0) > 0);
	CHECK_STR(text, "up\n");
	CHECK_INT(read(rig.agent_peer, &byte, 1), 0);
	CHECK_INT(read(rig.share_peer, &byte, 1), 0);
}

static void a_panic_is_told_with_its_line_and_made_safe_to_print(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "r");
	NEED_QEMU();
	CHECK(rig_start(&rig, &err) == 0);
	rig_run(&rig);
	CHECK_INT(rig.gone, 1);
	CHECK(!rig.exit.expected);
	CHECK(!rig.exit.early);
	CHECK_STR(rig.exit.text, "the guest's kernel failed: Kernel panic - not syncing: "
				 "\\x1b[2Jtest");
}

static void the_power_button_reaches_the_guest_and_sigterm_does_not_reach_qemu(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "b");
	NEED_QEMU();
	CHECK(rig_start(&rig, &err) == 0);
	rig_run_until_up(&rig);
	CHECK(!rig.timed_out && !rig.gone);
	CHECK(vm_qemu.pid(rig.vm) > 0);
	CHECK(kill(vm_qemu.pid(rig.vm), SIGTERM) == 0);
	CHECK(kill(vm_qemu.pid(rig.vm), SIGHUP) == 0);
	vm_qemu.power_button(rig.vm);
	CHECK_INT(rig.gone, 0);
	rig_run(&rig);
	CHECK_INT(rig.gone, 1);
	CHECK(rig.exit.expected);
}

static void killing_it_is_expected_and_reported_once(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "wait");
	NEED_QEMU();
	CHECK(rig_start(&rig, &err) == 0);
	vm_qemu.kill(rig.vm);
	vm_qemu.kill(rig.vm);
	CHECK_INT(rig.gone, 0);
	rig_run(&rig);
	CHECK_INT(rig.gone, 1);
	CHECK(rig.exit.expected);
}

static void a_death_from_outside_is_told(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "wait");
	NEED_QEMU();
	CHECK(rig_start(&rig, &err) == 0);
	rig_run_until_up(&rig);
	CHECK(!rig.timed_out && !rig.gone);
	CHECK(kill(vm_qemu.pid(rig.vm), SIGKILL) == 0);
	rig_run(&rig);
	CHECK_INT(rig.gone, 1);
	CHECK(!rig.exit.expected);
	CHECK_STR(rig.exit.text, "QEMU was killed by signal 9 (Killed)");
}

static void freeing_a_running_machine_ends_it_without_an_event(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;
	pid_t pid;

	rig_init(&rig, "wait");
	NEED_QEMU();
	CHECK(rig_start(&rig, &err) == 0);
	pid = vm_qemu.pid(rig.vm);
	CHECK(pid > 0);
	vm_qemu.free(take_ptr(&rig.vm));
	CHECK(kill(pid, 0) < 0 && errno == ESRCH);
	(void)uv_run(&rig.loop, UV_RUN_NOWAIT);
	CHECK_INT(rig.gone, 0);
}

static void what_qemu_refuses_is_told_in_its_own_words(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "p");
	NEED_QEMU();
	CHECK(ftruncate(rig.spec.ram_fd, 4096) == 0);
	CHECK(rig_start(&rig, &err) == 0);
	rig_run(&rig);
	CHECK_INT(rig.gone, 1);
	CHECK(!rig.exit.expected);
	CHECK(rig.exit.early);
	CHECK(strncmp(rig.exit.text, "QEMU exited with status 1: ", 27) == 0);
	CHECK(strstr(rig.exit.text, "backing store") != NULL);
	CHECK(strstr(rig.exit.text, "qemu-system-x86_64: ") == NULL);
}

static void a_second_machine_on_the_same_disk_is_refused(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;
	auto_rig struct rig second;

	rig_init(&rig, "wait");
	rig_init(&second, "p");
	NEED_QEMU();
	CHECK(rig_start(&rig, &err) == 0);
	rig_run_until_up(&rig);
	CHECK(!rig.timed_out && !rig.gone);
	(void)close(second.spec.disk_fd);
	second.spec.disk_fd = openat(rig.dir.fd, "disk", O_RDWR | O_CLOEXEC);
	CHECK(rig_start(&second, &err) == 0);
	rig_run(&second);
	CHECK_INT(second.gone, 1);
	CHECK(!second.exit.expected);
	CHECK(strstr(second.exit.text, "lock") != NULL);
}

/* With KVM that works the guest powers off; with KVM that does not, QEMU dies in a way that lets
 * the caller try TCG. Nothing between. */
static void kvm_works_or_fails_early(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "p");
	NEED_QEMU();
	if (access("/dev/kvm", R_OK | W_OK) < 0)
		SKIP("needs /dev/kvm");
	rig.spec.accel = VM_ACCEL_KVM;
	CHECK(rig_start(&rig, &err) == 0);
	rig_run(&rig);
	CHECK_INT(rig.gone, 1);
	printf("# %s\n", rig.exit.expected ? "KVM works" : rig.exit.text);
	CHECK(rig.exit.expected || rig.exit.early);
}

TEST_MAIN(TEST(powering_off_is_an_expected_end_and_the_ports_end_with_it),
	  TEST(a_panic_is_told_with_its_line_and_made_safe_to_print),
	  TEST(the_power_button_reaches_the_guest_and_sigterm_does_not_reach_qemu),
	  TEST(killing_it_is_expected_and_reported_once), TEST(a_death_from_outside_is_told),
	  TEST(freeing_a_running_machine_ends_it_without_an_event),
	  TEST(what_qemu_refuses_is_told_in_its_own_words),
	  TEST(a_second_machine_on_the_same_disk_is_refused), TEST(kvm_works_or_fails_early))
