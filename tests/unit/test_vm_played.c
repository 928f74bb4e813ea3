/* The QEMU backend with scripts in QEMU's place, for what a real one does only when a host is in
 * trouble. */
#include "test.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "qemu_rig.h"

#include <stdlib.h>
#include <sys/stat.h>

/* A life of a QEMU that is this program. */
static void play(struct rig *rig, const char *program)
{
	struct err err = ERR_INIT;

	rig_init(rig, "p");
	rig_put_program(rig, program);
	CHECK(rig_start_with_path(rig, rig->dir.path, &err) == 0);
	rig_run(rig);
}

static void without_qemu_the_package_is_named(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "p");
	CHECK(rig_start_with_path(&rig, "/nonexistent", &err) < 0);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK(strstr(err.text, "package is qemu-system-x86") != NULL);
	CHECK(rig.vm == NULL);
}

static void too_old_a_qemu_is_told_what_is_needed(void)
{
	auto_rig struct rig rig;

	play(&rig, "#!/bin/sh\n"
		   "echo 'qemu-system-x86_64: unsupported machine type' >&2\n"
		   "echo 'Use -machine help to list supported machines' >&2\nexit 1\n");
	CHECK_INT(rig.gone, 1);
	CHECK(rig.exit.early && rig.exit.unborn);
	CHECK_STR(rig.exit.text,
		  "QEMU exited with status 1: unsupported machine type; Use -machine help to list "
		  "supported machines (dxvm needs QEMU 7.2 or newer)");
}

static void a_qemu_that_breaks_its_protocol_is_ended(void)
{
	auto_rig struct rig rig;

	play(&rig, "#!/bin/sh\necho '{\"event\": \"SHUTDOWN\"}' >&3\n"
		   "while :; do /bin/sleep 1; done\n");
	CHECK_INT(rig.gone, 1);
	CHECK(!rig.exit.expected);
	CHECK_STR(rig.exit.text, "QMP: no greeting");
}

static void a_qemu_that_closes_its_link_and_lives_on_is_ended(void)
{
	auto_rig struct rig rig;

	play(&rig, "#!/bin/sh\nexec 3>&-\nwhile :; do /bin/sleep 1; done\n");
	CHECK_INT(rig.gone, 1);
	CHECK(!rig.exit.expected);
	CHECK_STR(rig.exit.text, "QEMU closed QMP and did not end");
}

static void a_qemu_that_takes_long_to_end_is_no_failure(void)
{
	auto_rig struct rig rig;

	play(&rig, "#!/bin/bash\necho '{\"QMP\": {}}' >&3; read -r line <&3\n"
		   "echo '{\"return\": {}, \"id\": 1}' >&3\n"
		   "echo '{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": "
		   "\"guest-shutdown\"}}' >&3\n"
		   "exec 3>&-\nwhile :; do /bin/sleep 1; done\n");
	CHECK_INT(rig.gone, 1);
	CHECK(rig.exit.expected);
	CHECK_STR(rig.exit.text, "");
}

/* A QEMU that answers as the real one does when it cannot write the disk: it stops, twice, and goes
 * on once there was room. Ours must ask, tell, and say cont by itself. */
static void a_full_disk_pauses_and_the_guest_goes_on_when_there_is_room(void)
{
	static const char talk[] =
	    "#!/bin/bash\n"
	    "say() { echo \"$1\" >&3; }\n"
	    "expect() { read -r line <&3; case $line in *$1*) id=${line##*\\\"id\\\":}; "
	    "id=${id%%[\\},]*};; *) echo \"wants $1, got $line\" >&2; exit 9;; esac; }\n"
	    "say '{\"QMP\": {}}'; expect qmp_capabilities; say \"{\\\"return\\\": {}, "
	    "\\\"id\\\": $id}\"\n"
	    "for i in 1 2; do say '{\"event\": \"STOP\"}'; expect query-status\n"
	    "say \"{\\\"return\\\": {\\\"status\\\": \\\"io-error\\\"}, \\\"id\\\": $id}\"\n"
	    "expect cont; say '{\"event\": \"RESUME\"}'; say \"{\\\"return\\\": {}, "
	    "\\\"id\\\": $id}\"; done\n"
	    "expect query-status; say \"{\\\"return\\\": {\\\"status\\\": \\\"running\\\"}, "
	    "\\\"id\\\": $id}\"\n"
	    "say '{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"guest-shutdown\"}}'\n";
	auto_rig struct rig rig;

	play(&rig, talk);
	CHECK_INT(rig.gone, 1);
	CHECK_STR(rig.exit.text, "");
	CHECK(rig.exit.expected);
	CHECK_STR(rig.notices, "the host's disk is full: the guest is paused until there is room\n"
			       "there is room on the host's disk again: the guest goes on\n");
}

static void an_internal_error_of_the_accelerator_is_an_early_end(void)
{
	static const char talk[] =
	    "#!/bin/bash\n"
	    "echo '{\"QMP\": {}}' >&3; read -r line <&3; echo '{\"return\": {}, \"id\": 1}' >&3\n"
	    "echo 'KVM: entry failed' >&2\n"
	    "echo '{\"event\": \"STOP\"}' >&3; read -r line <&3\n"
	    "echo '{\"return\": {\"status\": \"internal-error\"}, \"id\": 2}' >&3\n"
	    "read -r line <&3\n";
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "p");
	rig.spec.accel = VM_ACCEL_KVM;
	rig_put_program(&rig, talk);
	CHECK(rig_start_with_path(&rig, rig.dir.path, &err) == 0);
	rig_run(&rig);
	CHECK_INT(rig.gone, 1);
	CHECK(!rig.exit.expected);
	CHECK(rig.exit.early && !rig.exit.unborn);
	CHECK_STR(rig.exit.text, "KVM stopped the guest with an internal error: KVM: entry failed");
}

static void complaints_without_end_are_cut(void)
{
	auto_rig struct rig rig;

	play(&rig, "#!/bin/sh\ni=0\nwhile [ $i -lt 5000 ]; do\n"
		   "echo 'warning: the same again and again' >&2; i=$((i + 1)); done\n"
		   "exit 3\n");
	CHECK_INT(rig.gone, 1);
	CHECK(strncmp(rig.exit.text, "QEMU exited with status 3: ", 27) == 0);
	CHECK(strlen(rig.exit.text) > 100);
}

TEST_MAIN(TEST(without_qemu_the_package_is_named), TEST(too_old_a_qemu_is_told_what_is_needed),
	  TEST(a_qemu_that_breaks_its_protocol_is_ended),
	  TEST(a_qemu_that_closes_its_link_and_lives_on_is_ended),
	  TEST(a_qemu_that_takes_long_to_end_is_no_failure),
	  TEST(a_full_disk_pauses_and_the_guest_goes_on_when_there_is_room),
	  TEST(an_internal_error_of_the_accelerator_is_an_early_end),
	  TEST(complaints_without_end_are_cut))
