/*
 * The QEMU backend with a real QEMU. The guest is a hundred bytes of our own that QEMU boots as a
 * multiboot kernel, so that a whole life of a machine takes about a second even without KVM. The
 * last character of its command line says what it does.
 */
#include "test.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "temp_dir.h"
#include "vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define MEMORY	 ((uint64_t)64 << 20)
#define LIMIT_MS 60000 /* for a machine's life, on a host that is busy */

#ifdef __x86_64__
/* Loaded at 1 MiB by the header's fields. Says "up", then: p powers off, r prints a panic and
 * resets, b waits for the power button and powers off, anything else waits for ever. */
__asm__(".pushsection .rodata\n"
	".code32\n"
	".set BASE, 0x100000\n"
	"guest_start:\n"
	"	.align 4\n"
	"header:\n"
	"	.long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)\n"
	"	.long BASE + header - guest_start, BASE, BASE + guest_end - guest_start, 0\n"
	"	.long BASE + entry - guest_start\n"
	"entry:\n"
	"	mov $BASE + 0x10000, %esp\n"
	"	mov $0x602, %dx\n" /* PM1 enable: else the power button is not noted */
	"	mov $0x100, %ax\n"
	"	outw %ax, %dx\n"
	"	mov $BASE + text_up - guest_start, %esi\n"
	"	call print\n"
	"	mov 16(%ebx), %esi\n" /* the command line, from the multiboot information */
	"1:	lodsb\n"
	"	test %al, %al\n"
	"	jnz 1b\n"
	"	mov -2(%esi), %al\n"
	"	cmp $'p', %al\n"
	"	je power_off\n"
	"	cmp $'r', %al\n"
	"	je panic\n"
	"	cmp $'b', %al\n"
	"	je button\n"
	"2:	hlt\n"
	"	jmp 2b\n"
	"button:\n"
	"	mov $0x600, %dx\n" /* PM1 status; bit 8: the power button was pressed */
	"3:	inw %dx, %ax\n"
	"	test $0x100, %ax\n"
	"	jz 3b\n"
	"power_off:\n"
	"	mov $0x604, %dx\n" /* PM1 control: sleep enable, type S5 */
	"	mov $0x2000, %ax\n"
	"	outw %ax, %dx\n"
	"	jmp 2b\n"
	"panic:\n"
	"	mov $BASE + text_panic - guest_start, %esi\n"
	"	call print\n"
	"	mov $0xcf9, %dx\n" /* reset control */
	"	mov $6, %al\n"
	"	outb %al, %dx\n"
	"	jmp 2b\n"
	"print:\n"
	"	lodsb\n"
	"	test %al, %al\n"
	"	jz 5f\n"
	"	mov %al, %cl\n"
	"	mov $0x3fd, %dx\n"
	"4:	inb %dx, %al\n"
	"	test $0x20, %al\n"
	"	jz 4b\n"
	"	mov %cl, %al\n"
	"	mov $0x3f8, %dx\n"
	"	outb %al, %dx\n"
	"	jmp print\n"
	"5:	ret\n"
	"text_up:	.asciz \"up\\n\"\n"
	"text_panic:	.asciz \"[    1.0] Kernel panic - not syncing: \\033[2Jtest\\r\\n\"\n"
	"guest_end:\n"
	".code64\n"
	".popsection\n");
extern const uint8_t guest_start[];
extern const uint8_t guest_end[];
#endif

struct rig {
	uv_loop_t loop;
	uv_timer_t limit;
	struct temp_dir dir;
	struct vm_spec spec;
	struct vm *vm;
	int agent_peer;
	int share_peer;
	int gone;
	char notices[1024]; /* one a line */
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

static void on_notice(void *ctx, const char *text)
{
	struct rig *rig = ctx;
	size_t length = strlen(rig->notices);

	(void)snprintf(rig->notices + length, sizeof(rig->notices) - length, "%s\n", text);
}

static const struct vm_events events = {.gone = on_gone, .notice = on_notice};

static void on_limit(uv_timer_t *timer)
{
	struct rig *rig = timer->data;

	rig->timed_out = true;
	uv_stop(&rig->loop);
}

static int memory_of(const void *data, size_t length)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, length) != (ssize_t)length)
		abort();
	return fd;
}

static void make_pair(int *ret_a, int *ret_b)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		abort();
	*ret_a = ends[0];
	*ret_b = ends[1];
}

static void rig_init(struct rig *rig, const char *cmdline)
{
	*rig = (struct rig){.dir = temp_dir_make()};
	rig->spec = (struct vm_spec){
	    .id = "00112233445566778899aabbccddeeff",
	    .memory = MEMORY,
	    .cpus = 1,
	    .accel = VM_ACCEL_TCG,
	    .cmdline = cmdline,
	    .initrd_fd = memory_of("initrd", 6),
	    .ram_fd = memfd_create("ram", MFD_CLOEXEC),
	    .network = true,
	    .mac = {0x52, 0x54, 0, 1, 2, 3},
	};
#ifdef __x86_64__
	rig->spec.kernel_fd = memory_of(guest_start, (size_t)(guest_end - guest_start));
#endif
	temp_dir_put(&rig->dir, "disk", "", 0);
	rig->spec.disk_fd = openat(rig->dir.fd, "disk", O_RDWR | O_CLOEXEC);
	rig->spec.console_fd =
	    openat(rig->dir.fd, "console", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (rig->spec.ram_fd < 0 || ftruncate(rig->spec.ram_fd, (off_t)MEMORY) < 0 ||
	    ftruncate(rig->spec.disk_fd, 1 << 20) < 0 || uv_loop_init(&rig->loop) != 0)
		abort();
	make_pair(&rig->spec.agent_fd, &rig->agent_peer);
	make_pair(&rig->spec.share_fd, &rig->share_peer);
	(void)uv_timer_init(&rig->loop, &rig->limit);
	rig->limit.data = rig;
}

static int rig_start(struct rig *rig, struct err *err)
{
	int started = vm_qemu.start(&rig->spec, &rig->loop, &events, rig, &rig->vm, err);

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

static off_t console_size(const struct rig *rig)
{
	struct stat st;

	return fstat(rig->spec.console_fd, &st) == 0 ? st.st_size : -1;
}

/* Until the guest said that it runs. */
static void rig_run_until_up(struct rig *rig)
{
	(void)uv_timer_start(&rig->limit, on_limit, LIMIT_MS, 0);
	while (console_size(rig) == 0 && !rig->timed_out && !rig->gone)
		(void)uv_run(&rig->loop, UV_RUN_ONCE);
	CHECK(console_size(rig) > 0);
}

static void rig_done(struct rig *rig)
{
	if (rig->vm)
		vm_qemu.free(rig->vm);
	uv_close((uv_handle_t *)&rig->limit, NULL);
	(void)uv_run(&rig->loop, UV_RUN_DEFAULT);
	CHECK_INT(uv_loop_close(&rig->loop), 0);
	cleanup_close(&rig->spec.kernel_fd);
	cleanup_close(&rig->spec.initrd_fd);
	cleanup_close(&rig->spec.ram_fd);
	cleanup_close(&rig->spec.disk_fd);
	cleanup_close(&rig->spec.console_fd);
	cleanup_close(&rig->spec.agent_fd);
	cleanup_close(&rig->spec.share_fd);
	cleanup_close(&rig->agent_peer);
	cleanup_close(&rig->share_peer);
	temp_dir_done(&rig->dir);
}
#define auto_rig CLEANUP(rig_done)

static bool can_run(void)
{
#ifdef __x86_64__
	auto_free char *path = xstrdup(getenv("PATH"));
	char *rest = path;

	for (char *dir = strsep(&rest, ":"); dir; dir = strsep(&rest, ":")) {
		auto_free char *program = xasprintf("%s/qemu-system-x86_64", dir);

		if (access(program, X_OK) == 0)
			return true;
	}
	return false;
#else
	return false;
#endif
}
#define NEED_QEMU()                                                                                \
	do {                                                                                       \
		if (!can_run())                                                                    \
			SKIP("needs an x86-64 host with qemu-system-x86_64");                      \
	} while (0)

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
	CHECK(kill(vm_qemu.pid(rig.vm), SIGKILL) == 0);
	rig_run(&rig);
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
	(void)close(second.spec.disk_fd);
	second.spec.disk_fd = openat(rig.dir.fd, "disk", O_RDWR | O_CLOEXEC);
	CHECK(rig_start(&second, &err) == 0);
	rig_run(&second);
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
	printf("# %s\n", rig.exit.expected ? "KVM works" : rig.exit.text);
	CHECK(rig.exit.expected || rig.exit.early);
}

/* -- other programs in QEMU's place ----------------------------------------------------------- */

static void put_program(struct rig *rig, const char *text)
{
	temp_dir_put_text(&rig->dir, "qemu-system-x86_64", text);
	if (fchmodat(rig->dir.fd, "qemu-system-x86_64", 0700, 0) < 0)
		abort();
}

/* start with another PATH, which is put back. */
static int start_with_path(struct rig *rig, const char *path, struct err *err)
{
	auto_free char *before = xstrdup(getenv("PATH"));
	int started;

	(void)setenv("PATH", path, 1);
	started = rig_start(rig, err);
	(void)setenv("PATH", before, 1);
	return started;
}

static void without_qemu_the_package_is_named(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "p");
	CHECK(start_with_path(&rig, "/nonexistent", &err) < 0);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK(strstr(err.text, "package is qemu-system-x86") != NULL);
	CHECK(rig.vm == NULL);
}

static void too_old_a_qemu_is_told_what_is_needed(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "p");
	put_program(&rig, "#!/bin/sh\n"
			  "echo 'qemu-system-x86_64: unsupported machine type' >&2\n"
			  "echo 'Use -machine help to list supported machines' >&2\nexit 1\n");
	CHECK(start_with_path(&rig, rig.dir.path, &err) == 0);
	rig_run(&rig);
	CHECK(rig.exit.early);
	CHECK_STR(rig.exit.text,
		  "QEMU exited with status 1: unsupported machine type; Use -machine help to list "
		  "supported machines (dxvm needs QEMU 7.2 or newer)");
}

static void a_qemu_that_breaks_its_protocol_is_ended(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "p");
	put_program(&rig, "#!/bin/sh\necho '{\"event\": \"SHUTDOWN\"}' >&3\n"
			  "while :; do /bin/sleep 1; done\n");
	CHECK(start_with_path(&rig, rig.dir.path, &err) == 0);
	rig_run(&rig);
	CHECK(!rig.exit.expected);
	CHECK_STR(rig.exit.text, "QMP: no greeting");
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
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "p");
	put_program(&rig, talk);
	CHECK(start_with_path(&rig, rig.dir.path, &err) == 0);
	rig_run(&rig);
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
	put_program(&rig, talk);
	CHECK(start_with_path(&rig, rig.dir.path, &err) == 0);
	rig_run(&rig);
	CHECK(!rig.exit.expected);
	CHECK(rig.exit.early);
	CHECK_STR(rig.exit.text, "KVM stopped the guest with an internal error: KVM: entry failed");
}

static void complaints_without_end_are_cut(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig, "p");
	put_program(&rig, "#!/bin/sh\ni=0\nwhile [ $i -lt 5000 ]; do\n"
			  "echo 'warning: the same again and again' >&2; i=$((i + 1)); done\n"
			  "exit 3\n");
	CHECK(start_with_path(&rig, rig.dir.path, &err) == 0);
	rig_run(&rig);
	CHECK(strncmp(rig.exit.text, "QEMU exited with status 3: ", 27) == 0);
	CHECK(strlen(rig.exit.text) > 100);
}

TEST_MAIN(TEST(powering_off_is_an_expected_end_and_the_ports_end_with_it),
	  TEST(a_panic_is_told_with_its_line_and_made_safe_to_print),
	  TEST(the_power_button_reaches_the_guest_and_sigterm_does_not_reach_qemu),
	  TEST(killing_it_is_expected_and_reported_once), TEST(a_death_from_outside_is_told),
	  TEST(freeing_a_running_machine_ends_it_without_an_event),
	  TEST(what_qemu_refuses_is_told_in_its_own_words),
	  TEST(a_second_machine_on_the_same_disk_is_refused), TEST(kvm_works_or_fails_early),
	  TEST(without_qemu_the_package_is_named), TEST(too_old_a_qemu_is_told_what_is_needed),
	  TEST(a_qemu_that_breaks_its_protocol_is_ended),
	  TEST(a_full_disk_pauses_and_the_guest_goes_on_when_there_is_room),
	  TEST(an_internal_error_of_the_accelerator_is_an_early_end),
	  TEST(complaints_without_end_are_cut))
