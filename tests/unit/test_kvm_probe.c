/* The choice of the accelerator. What the probe finds depends on the host, so these tests hold what
 * is true on every host, and leave the verdict itself in the output. */
#include "test.h"

#include "base/cleanup.h"
#include "vm/kvm_probe.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

static void wish(const char *value)
{
	if (value)
		(void)setenv("DXVM_ACCEL", value, 1);
	else
		(void)unsetenv("DXVM_ACCEL");
}

static double seconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void the_probe_gives_a_verdict_within_its_patience(void)
{
	struct err err = ERR_INIT;
	enum vm_accel accel;
	auto_free char *reason = NULL;
	double start = seconds();

	wish(NULL);
	CHECK(kvm_choose(&accel, &reason, &err) == 0);
	printf("# %s: %s (%.3f s)\n", accel == VM_ACCEL_KVM ? "kvm" : "tcg", reason,
	       seconds() - start);
	/* Two seconds of patience, and what a loaded host adds. */
	CHECK(seconds() - start < 10);
	CHECK((accel == VM_ACCEL_KVM) == (reason[0] == '\0'));
	CHECK(strchr(reason, '\n') == NULL);
}

static void the_probe_leaves_no_child_behind(void)
{
	struct err err = ERR_INIT;
	enum vm_accel accel;
	auto_free char *reason = NULL;

	wish(NULL);
	CHECK(kvm_choose(&accel, &reason, &err) == 0);
	CHECK(waitpid(-1, NULL, WNOHANG) < 0);
}

static void asking_for_tcg_is_obeyed_without_a_word(void)
{
	struct err err = ERR_INIT;
	enum vm_accel accel = VM_ACCEL_KVM;
	auto_free char *reason = NULL;

	wish("tcg");
	CHECK(kvm_choose(&accel, &reason, &err) == 0);
	CHECK_INT(accel, VM_ACCEL_TCG);
	CHECK_STR(reason, "");
}

static void asking_for_kvm_gets_kvm_or_an_error_never_tcg(void)
{
	struct err err = ERR_INIT;
	enum vm_accel accel = VM_ACCEL_TCG;
	auto_free char *reason = NULL;

	wish("kvm");
	if (kvm_choose(&accel, &reason, &err) == 0) {
		CHECK_INT(accel, VM_ACCEL_KVM);
	} else {
		CHECK_INT(err.code, ERR_UNSUPPORTED);
		CHECK(strncmp(err.text, "DXVM_ACCEL=kvm: ", 16) == 0);
	}
}

static void an_unknown_accelerator_is_a_usage_error(void)
{
	struct err err = ERR_INIT;
	enum vm_accel accel;
	auto_free char *reason = NULL;

	wish("hvf");
	CHECK(kvm_choose(&accel, &reason, &err) < 0);
	CHECK_INT(err.code, ERR_USAGE);
	CHECK_STR(err.text, "DXVM_ACCEL=hvf: must be kvm or tcg");
}

static void both_choices_agree_on_this_host(void)
{
	struct err err = ERR_INIT;
	enum vm_accel by_itself;
	enum vm_accel asked;
	auto_free char *reason = NULL;
	auto_free char *reason_asked = NULL;

	wish(NULL);
	CHECK(kvm_choose(&by_itself, &reason, &err) == 0);
	wish("kvm");
	if (by_itself == VM_ACCEL_KVM)
		CHECK(kvm_choose(&asked, &reason_asked, &err) == 0);
}

TEST_MAIN(TEST(the_probe_gives_a_verdict_within_its_patience),
	  TEST(the_probe_leaves_no_child_behind), TEST(asking_for_tcg_is_obeyed_without_a_word),
	  TEST(asking_for_kvm_gets_kvm_or_an_error_never_tcg),
	  TEST(an_unknown_accelerator_is_a_usage_error), TEST(both_choices_agree_on_this_host))
