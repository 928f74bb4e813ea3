/* What QEMU is started with. */
#include "test.h"

#include "base/buf.h"
#include "vm/qemu_config.h"

static const struct vm_spec usual = {
    .id = "0123456789abcdef0123456789abcdef",
    .memory = (uint64_t)1024 << 20,
    .cpus = 2,
    .accel = VM_ACCEL_TCG,
    .cmdline = "console=ttyS0 dxvm.root=/dev/vda",
    .disk_fd = 9,
    .mac = {0x52, 0x54, 0x00, 0xab, 0xcd, 0xef},
    .network = true,
};

/* The value after an option, the nth time it occurs; "" if it does not. */
static const char *value_of(char **argv, const char *option, int nth)
{
	for (size_t i = 0; argv[i] && argv[i + 1]; i++)
		if (strcmp(argv[i], option) == 0 && nth-- == 0)
			return argv[i + 1];
	return "";
}

static bool mentions(char **argv, const char *text)
{
	for (size_t i = 0; argv[i]; i++)
		if (strstr(argv[i], text))
			return true;
	return false;
}

static void the_machine_type_is_a_version_not_an_alias(void)
{
	struct err err = ERR_INIT;
	auto_argv char **argv = NULL;

	CHECK(qemu_config_make(&usual, &argv, &err) == 0);
	CHECK_STR(argv[0], "qemu-system-x86_64");
	CHECK_STR(value_of(argv, "-machine", 0), "pc-q35-7.2,memory-backend=ram");
}

static void memory_is_lent_and_shared(void)
{
	struct err err = ERR_INIT;
	auto_argv char **argv = NULL;
	char path[64];

	CHECK(qemu_config_make(&usual, &argv, &err) == 0);
	(void)snprintf(path, sizeof(path), "mem-path=/proc/self/fd/%d,share=on", QEMU_FD_RAM);
	CHECK(strstr(value_of(argv, "-object", 0), "size=1024M") != NULL);
	CHECK(strstr(value_of(argv, "-object", 0), path) != NULL);
	CHECK_STR(value_of(argv, "-m", 0), "size=1024M");
}

static void qemu_is_confined_and_reads_no_files_of_its_own(void)
{
	struct err err = ERR_INIT;
	auto_argv char **argv = NULL;

	CHECK(qemu_config_make(&usual, &argv, &err) == 0);
	CHECK_STR(value_of(argv, "-sandbox", 0),
		  "on,obsolete=deny,elevateprivileges=deny,spawn=deny");
	CHECK(mentions(argv, "-nodefaults"));
	CHECK(mentions(argv, "-no-user-config"));
}

static void each_accelerator_gets_its_processor(void)
{
	struct err err = ERR_INIT;
	struct vm_spec spec = usual;
	auto_argv char **tcg = NULL;
	auto_argv char **kvm = NULL;

	CHECK(qemu_config_make(&spec, &tcg, &err) == 0);
	CHECK_STR(value_of(tcg, "-accel", 0), "tcg,thread=multi");
	CHECK_STR(value_of(tcg, "-cpu", 0), "max,-erms");
	spec.accel = VM_ACCEL_KVM;
	CHECK(qemu_config_make(&spec, &kvm, &err) == 0);
	CHECK_STR(value_of(kvm, "-accel", 0), "kvm");
	CHECK_STR(value_of(kvm, "-cpu", 0), "host");
}

static void the_network_has_the_given_address_or_is_not_there(void)
{
	struct err err = ERR_INIT;
	struct vm_spec spec = usual;
	auto_argv char **with = NULL;
	auto_argv char **without = NULL;

	CHECK(qemu_config_make(&spec, &with, &err) == 0);
	CHECK(mentions(with, "mac=52:54:00:ab:cd:ef"));
	spec.network = false;
	CHECK(qemu_config_make(&spec, &without, &err) == 0);
	CHECK(!mentions(without, "net"));
}

static void without_a_disk_there_is_none(void)
{
	struct err err = ERR_INIT;
	struct vm_spec spec = usual;
	auto_argv char **argv = NULL;

	spec.disk_fd = -1;
	CHECK(qemu_config_make(&spec, &argv, &err) == 0);
	CHECK(!mentions(argv, "virtio-blk"));
	CHECK(!mentions(argv, "fdset"));
}

static void a_kernel_command_line_is_one_argument_whatever_is_in_it(void)
{
	struct err err = ERR_INIT;
	struct vm_spec spec = usual;
	auto_argv char **argv = NULL;

	spec.cmdline = "a=b,c -device evil \" %s";
	CHECK(qemu_config_make(&spec, &argv, &err) == 0);
	CHECK_STR(value_of(argv, "-append", 0), spec.cmdline);
}

static void the_agent_and_the_share_have_ports_of_their_own(void)
{
	struct err err = ERR_INIT;
	auto_argv char **argv = NULL;

	CHECK(qemu_config_make(&usual, &argv, &err) == 0);
	CHECK(mentions(argv, "name=org.dxvm.agent.0"));
	CHECK(mentions(argv, "name=org.dxvm.share.0"));
}

static void what_no_qemu_can_run_is_an_error(void)
{
	struct err err = ERR_INIT;
	struct vm_spec spec = usual;
	char **argv = NULL;
	char long_line[4096];

	spec.memory = ((uint64_t)1 << 20) + 1;
	CHECK(qemu_config_make(&spec, &argv, &err) < 0);
	CHECK_INT(err.code, ERR_INVALID);
	spec = usual;
	spec.cpus = 0;
	CHECK(qemu_config_make(&spec, &argv, &err) < 0);
	spec.cpus = 256;
	CHECK(qemu_config_make(&spec, &argv, &err) < 0);
	spec = usual;
	memset(long_line, 'x', sizeof(long_line) - 1);
	long_line[sizeof(long_line) - 1] = '\0';
	spec.cmdline = long_line;
	CHECK(qemu_config_make(&spec, &argv, &err) < 0);
	CHECK(argv == NULL);
}

static void describe_shows_one_argument_a_line(void)
{
	struct err err = ERR_INIT;
	auto_buf struct buf text;

	buf_init(&text, 65536);
	CHECK(vm_qemu.describe(&usual, &text, &err) == 0);
	auto_free char *shown = buf_take_string(&text);
	CHECK(strncmp(shown, "qemu-system-x86_64\n-name\nguest=dxvm-0123456789ab\n", 49) == 0);
	CHECK(strstr(shown, "\n-append\nconsole=ttyS0 dxvm.root=/dev/vda\n") != NULL);
}

TEST_MAIN(TEST(the_machine_type_is_a_version_not_an_alias), TEST(memory_is_lent_and_shared),
	  TEST(qemu_is_confined_and_reads_no_files_of_its_own),
	  TEST(each_accelerator_gets_its_processor),
	  TEST(the_network_has_the_given_address_or_is_not_there),
	  TEST(without_a_disk_there_is_none),
	  TEST(a_kernel_command_line_is_one_argument_whatever_is_in_it),
	  TEST(the_agent_and_the_share_have_ports_of_their_own),
	  TEST(what_no_qemu_can_run_is_an_error), TEST(describe_shows_one_argument_a_line))
