/*
 * The probe: a page of guest memory holds `mov ecx, 2000000; again: dec ecx; jnz again; hlt`, run
 * in 32-bit protected mode without an interrupt controller (with one, hlt never comes back). Real
 * hardware needs about a millisecond. Where KVM emulates instruction by instruction it needs
 * seconds; a timer signal then interrupts KVM_RUN after 40 ms, and the verdict is "slow". The timer
 * counts processor time, of which a busy host gives a good KVM no more than an idle one does.
 *
 * It runs in a child, because a broken KVM may never return: the parent waits two seconds for the
 * end of a pipe that only the child has, then kills it.
 */
#include "vm/kvm_probe.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#endif

enum verdict {
	VERDICT_USABLE,
	VERDICT_ABSENT,	 /* no /dev/kvm */
	VERDICT_DENIED,	 /* it is there, but not for this user */
	VERDICT_SLOW,	 /* it emulates */
	VERDICT_BROKEN,	 /* a call failed, or the loop ended in a way it should not */
	VERDICT_STUCK,	 /* did not come back in two seconds */
	VERDICT_UNKNOWN, /* no probe for this processor */
	VERDICT_COUNT,
};

static const char *const reasons[] = {
    [VERDICT_USABLE] = "",
    [VERDICT_ABSENT] = "this host has no /dev/kvm",
    [VERDICT_DENIED] = "/dev/kvm is not open to you; being in the group kvm usually helps",
    [VERDICT_SLOW] = "KVM on this host emulates the processor and is too slow to boot a guest",
    [VERDICT_BROKEN] = "KVM on this host does not run guest code",
    [VERDICT_STUCK] = "KVM on this host hangs",
    [VERDICT_UNKNOWN] = "dxvm has no test for KVM on this kind of host",
};
_Static_assert(ARRAY_SIZE(reasons) == VERDICT_COUNT, "words for each verdict");

#if defined(__linux__) && defined(__x86_64__)

#define GUEST_BASE   0x1000u
#define PAGE_SIZE_   0x1000u
#define TIMER_US     40000
#define PATIENCE_MS  2000
#define TWO_MILLIONS 0x80, 0x84, 0x1e, 0x00

static const uint8_t counted_loop[] = {
    0xb9, TWO_MILLIONS, /* mov ecx, 2000000 */
    0x49,		/* again: dec ecx */
    0x75, 0xfd,		/* jnz again */
    0xf4,		/* hlt */
};

static void on_timer(int number)
{
	(void)number; /* only there to interrupt KVM_RUN */
}

static int start_timer(void)
{
	const struct itimerval every = {.it_interval = {.tv_usec = TIMER_US},
					.it_value = {.tv_usec = TIMER_US}};
	struct sigaction action = {.sa_handler = on_timer}; /* no SA_RESTART */
	sigset_t all_but_timer;

	(void)sigfillset(&all_but_timer);
	(void)sigdelset(&all_but_timer, SIGPROF);
	if (sigaction(SIGPROF, &action, NULL) < 0 ||
	    sigprocmask(SIG_SETMASK, &all_but_timer, NULL) < 0)
		return -1;
	return setitimer(ITIMER_PROF, &every, NULL);
}

static int set_registers(int cpu)
{
	struct kvm_segment code = {
	    .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1};
	struct kvm_segment data = code;
	struct kvm_regs regs = {.rip = GUEST_BASE, .rflags = 2};
	struct kvm_sregs sregs;

	data.type = 3;
	data.selector = 16;
	if (ioctl(cpu, KVM_GET_SREGS, &sregs) < 0)
		return -1;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 |= 1; /* protected mode */
	if (ioctl(cpu, KVM_SET_SREGS, &sregs) < 0)
		return -1;
	return ioctl(cpu, KVM_SET_REGS, &regs);
}

/* A machine with one page and one processor; the end of this process takes it all away. */
static int make_machine(int kvm, int *ret_cpu, struct kvm_run **ret_run)
{
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);
	void *page =
	    mmap(NULL, PAGE_SIZE_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {.guest_phys_addr = GUEST_BASE,
						     .memory_size = PAGE_SIZE_};
	int size;
	int cpu;
	void *run;

	if (vm < 0 || page == MAP_FAILED)
		return -1;
	memcpy(page, counted_loop, sizeof(counted_loop));
	region.userspace_addr = (uint64_t)(uintptr_t)page;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return -1;
	cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (cpu < 0 || size < (int)sizeof(struct kvm_run) || set_registers(cpu) < 0)
		return -1;
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	if (run == MAP_FAILED)
		return -1;
	*ret_cpu = cpu;
	*ret_run = run;
	return 0;
}

static enum verdict run_loop(int kvm)
{
	struct kvm_run *run;
	int cpu;

	if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION ||
	    make_machine(kvm, &cpu, &run) < 0 || start_timer() < 0)
		return VERDICT_BROKEN;
	if (ioctl(cpu, KVM_RUN, 0) < 0)
		return errno == EINTR ? VERDICT_SLOW : VERDICT_BROKEN;
	return run->exit_reason == KVM_EXIT_HLT ? VERDICT_USABLE : VERDICT_BROKEN;
}

static _Noreturn void run_child(int kvm, pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(VERDICT_BROKEN);
	_exit((int)run_loop(kvm));
}

/* All signals stay blocked in the child but SIGPROF: our caller's handlers are not for it. */
static pid_t fork_child(int kvm, int alive_read)
{
	pid_t parent = getpid();
	sigset_t all;
	sigset_t before;
	pid_t pid;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0) {
		(void)close(alive_read);
		run_child(kvm, parent);
	}
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

/* Whether the child ended (its end of the pipe is closed) in time. */
static bool wait_for_end(int alive_read)
{
	struct pollfd pollfd = {.fd = alive_read, .events = POLLIN};
	int left = PATIENCE_MS;
	int n;

	/* A signal starts the wait again; each try is shorter, so it ends. */
	do {
		n = poll(&pollfd, 1, left);
		left /= 2;
	} while (n < 0 && errno == EINTR && left > 0);
	return n > 0;
}

static enum verdict probe(void)
{
	auto_close int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int ends[2];
	int status;
	bool ended;
	pid_t pid;

	if (kvm < 0 && (errno == EACCES || errno == EPERM))
		return VERDICT_DENIED;
	if (kvm < 0)
		return errno == ENOENT || errno == ENODEV || errno == ENXIO ? VERDICT_ABSENT
									    : VERDICT_BROKEN;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return VERDICT_BROKEN;
	auto_close int alive_read = ends[0];
	pid = fork_child(kvm, alive_read);
	(void)close(ends[1]);
	if (pid < 0)
		return VERDICT_BROKEN;
	ended = wait_for_end(alive_read);
	if (!ended)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return VERDICT_BROKEN;
	if (!ended)
		return VERDICT_STUCK;
	return WIFEXITED(status) && WEXITSTATUS(status) < VERDICT_COUNT
		   ? (enum verdict)WEXITSTATUS(status)
		   : VERDICT_BROKEN;
}

#else

static enum verdict probe(void)
{
	return access("/dev/kvm", F_OK) == 0 ? VERDICT_UNKNOWN : VERDICT_ABSENT;
}

#endif

int kvm_choose(enum vm_accel *ret_accel, char **ret_reason, struct err *err)
{
	const char *wish = getenv("DXVM_ACCEL");
	enum vm_accel accel = VM_ACCEL_TCG;
	enum verdict verdict;
	char *reason = NULL;

	if (!wish || !*wish) {
		verdict = probe();
		if (verdict == VERDICT_USABLE)
			accel = VM_ACCEL_KVM;
		else
			reason = xasprintf("%s; using TCG, which is slower", reasons[verdict]);
	} else if (strcmp(wish, "kvm") == 0) {
		accel = VM_ACCEL_KVM;
		verdict = probe();
		if (verdict != VERDICT_USABLE && verdict != VERDICT_UNKNOWN)
			return err_set(err, ERR_UNSUPPORTED,
				       "DXVM_ACCEL=kvm: %s; unset it to use TCG", reasons[verdict]);
	} else if (strcmp(wish, "tcg") != 0) {
		return err_set(err, ERR_USAGE, "DXVM_ACCEL=%.40s: must be kvm or tcg", wish);
	}
	*ret_accel = accel;
	*ret_reason = reason ? reason : xstrdup("");
	return 0;
}
