#include "qemu_rig.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <fcntl.h>
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

static void note_failure(struct rig *rig, const struct err *failure)
{
	(void)snprintf(rig->failure, sizeof(rig->failure), "%s", failure ? failure->text : "");
}

static void on_saved(void *ctx, const struct err *failure)
{
	struct rig *rig = ctx;

	rig->saved++;
	note_failure(rig, failure);
}

static void on_loaded(void *ctx, const struct err *failure)
{
	struct rig *rig = ctx;

	rig->loaded++;
	note_failure(rig, failure);
}

static const struct vm_events events = {
    .gone = on_gone, .notice = on_notice, .saved = on_saved, .loaded = on_loaded};

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

void rig_init(struct rig *rig, const char *cmdline)
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

int rig_start(struct rig *rig, struct err *err)
{
	int started = vm_qemu.start(&rig->spec, &rig->loop, &events, rig, &rig->vm, err);

	(void)close(take_fd(&rig->spec.agent_fd));
	(void)close(take_fd(&rig->spec.share_fd));
	return started;
}

void rig_put_program(struct rig *rig, const char *text)
{
	temp_dir_put_text(&rig->dir, "qemu-system-x86_64", text);
	if (fchmodat(rig->dir.fd, "qemu-system-x86_64", 0700, 0) < 0)
		abort();
}

int rig_start_with_path(struct rig *rig, const char *path, struct err *err)
{
	auto_free char *before = xstrdup(getenv("PATH"));
	int started;

	(void)setenv("PATH", path, 1);
	started = rig_start(rig, err);
	(void)setenv("PATH", before, 1);
	return started;
}

void rig_run(struct rig *rig)
{
	(void)uv_timer_start(&rig->limit, on_limit, LIMIT_MS, 0);
	(void)uv_run(&rig->loop, UV_RUN_DEFAULT);
	(void)uv_timer_stop(&rig->limit);
}

void rig_run_until(struct rig *rig, const int *count)
{
	(void)uv_timer_start(&rig->limit, on_limit, LIMIT_MS, 0);
	while (*count == 0 && !rig->timed_out && !rig->gone)
		(void)uv_run(&rig->loop, UV_RUN_ONCE);
	(void)uv_timer_stop(&rig->limit);
}

static off_t console_size(const struct rig *rig)
{
	struct stat st;

	return fstat(rig->spec.console_fd, &st) == 0 ? st.st_size : -1;
}

/* Until the guest said that it runs. */
void rig_run_until_up(struct rig *rig)
{
	(void)uv_timer_start(&rig->limit, on_limit, LIMIT_MS, 0);
	while (console_size(rig) == 0 && !rig->timed_out && !rig->gone)
		(void)uv_run(&rig->loop, UV_RUN_ONCE);
}

void rig_done(struct rig *rig)
{
	if (rig->vm)
		vm_qemu.free(rig->vm);
	uv_close((uv_handle_t *)&rig->limit, NULL);
	(void)uv_run(&rig->loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&rig->loop) != 0)
		abort(); /* a handle was left open */
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

bool rig_can_run(void)
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
