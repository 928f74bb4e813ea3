/*
 * Why it is as it is:
 *
 * - The machine type is a version, not the alias: a saved guest must meet the same hardware after
 *   QEMU was upgraded.
 * - RAM is the supervisor's memory (share=on), so that it survives QEMU for the moment a suspend
 *   takes. /proc/self/fd, because QEMU takes no fdset there; the kernel and initrd go the same way,
 *   the disk by fdset, which QEMU locks (OFD locks: a second QEMU on this image is refused).
 * - Ports, console and QMP are inherited socketpairs: one peer, no path. The share has a port of
 * its own so that file traffic never waits behind a terminal, or the other way round.
 * - discard=unmap and free-page-reporting give back what the guest no longer uses.
 * - werror=enospc: a full host disk pauses the guest instead of breaking its file system.
 * - -no-reboot: a reboot ends the machine; the next `dxvm` starts one that has the settings, kernel
 *   and agent of now.
 * - -incoming defer comes last, and only where there is a saved state: without it the command lines
 *   of the two that the state passes between must be the same.
 * - An installer's machine has its ISO as a disk, and two directories over 9p, which every
 *   installer's kernel has; it is never saved, which 9p would not allow. Serials tell its disks
 *   apart. What the guest may write is mapped: links, devices and owners are files with notes.
 * - rtc clock=host: after a resume the guest's hardware clock is right at once.
 */
#include "vm/qemu_config.h"

#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

#define ARGUMENTS_MAX 96
#define CMDLINE_MAX   2047 /* COMMAND_LINE_SIZE of Linux on x86, without the NUL */
#define CPUS_MAX      255  /* of pc-q35 without an interrupt remapping unit */
#define MEMORY_UNIT   ((uint64_t)2 << 20)
#define NAME_DIGITS   12

struct arguments {
	char *argv[ARGUMENTS_MAX + 1];
	size_t count;
};

static void PRINTF_LIKE(3, 4)
    add(struct arguments *arguments, const char *option, const char *format, ...)
{
	va_list ap;

	if (arguments->count + 2 > ARGUMENTS_MAX)
		abort(); /* the table is ours: it cannot grow by what a user does */
	arguments->argv[arguments->count++] = xstrdup(option);
	if (!format)
		return;
	va_start(ap, format);
	arguments->argv[arguments->count++] = xvasprintf(format, ap);
	va_end(ap);
}

static void add_flag(struct arguments *arguments, const char *option)
{
	if (arguments->count + 1 > ARGUMENTS_MAX)
		abort();
	arguments->argv[arguments->count++] = xstrdup(option);
}

static void add_base(struct arguments *a, const struct vm_spec *spec)
{
	add_flag(a, QEMU_PROGRAM);
	add(a, "-name", "guest=dxvm-%.*s", NAME_DIGITS, spec->id);
	add_flag(a, "-nodefaults");
	add_flag(a, "-no-user-config");
	add_flag(a, "-no-reboot");
	add(a, "-display", "none");
	add(a, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny");
	add(a, "-machine", "pc-q35-7.2,memory-backend=ram");
	if (spec->accel == VM_ACCEL_KVM) {
		add(a, "-accel", "kvm");
		add(a, "-cpu", "host");
	} else {
		add(a, "-accel", "tcg,thread=multi");
		/* Where erms is promised, Linux copies with "rep movsb"; TCG does that byte by byte. */
		add(a, "-cpu", "max,-erms");
	}
	add(a, "-smp", "cpus=%" PRIu32, spec->cpus);
	add(a, "-m", "size=%" PRIu64 "M", spec->memory >> 20);
	add(a, "-object",
	    "memory-backend-file,id=ram,size=%" PRIu64 "M,mem-path=/proc/self/fd/%d,share=on",
	    spec->memory >> 20, QEMU_FD_RAM);
	add(a, "-rtc", "base=utc,clock=host");
}

static void add_boot(struct arguments *a, const struct vm_spec *spec)
{
	add(a, "-kernel", "/proc/self/fd/%d", QEMU_FD_KERNEL);
	add(a, "-initrd", "/proc/self/fd/%d", QEMU_FD_INITRD);
	add(a, "-append", "%s", spec->cmdline);
	if (spec->disk_fd < 0)
		return;
	add(a, "-add-fd", "set=1,fd=%d", QEMU_FD_DISK);
	add(a, "-blockdev",
	    "driver=file,node-name=disk-file,filename=/dev/fdset/1,discard=unmap,"
	    "cache.direct=off");
	add(a, "-blockdev", "driver=raw,node-name=disk,file=disk-file,discard=unmap");
	add(a, "-device", "virtio-blk-pci,id=vda,drive=disk,werror=enospc%s",
	    spec->install ? ",serial=" QEMU_SERIAL_ROOT : "");
}

static void add_directory(struct arguments *a, const char *tag, int fd, const char *how)
{
	add(a, "-fsdev", "local,id=%s,path=/proc/self/fd/%d,%s", tag, fd, how);
	add(a, "-device", "virtio-9p-pci,id=%s-9p,fsdev=%s,mount_tag=%s", tag, tag, tag);
}

static void add_install(struct arguments *a)
{
	add(a, "-add-fd", "set=2,fd=%d", QEMU_FD_MEDIA);
	add(a, "-blockdev",
	    "driver=file,node-name=media-file,filename=/dev/fdset/2,read-only=on,"
	    "cache.direct=off");
	add(a, "-blockdev", "driver=raw,node-name=media,file=media-file,read-only=on");
	add(a, "-device", "virtio-blk-pci,id=vdb,drive=media,serial=" QEMU_SERIAL_MEDIA);
	add_directory(a, "bootstrap", QEMU_FD_BOOTSTRAP, "security_model=none,readonly=on");
	add_directory(a, "boot", QEMU_FD_BOOT, "security_model=mapped-file");
}

static void add_port(struct arguments *a, const char *name, int fd)
{
	add(a, "-chardev", "socket,id=%s,fd=%d", name, fd);
	add(a, "-device", "virtserialport,id=%s-port,chardev=%s,name=org.dxvm.%s.0", name, name,
	    name);
}

static void add_devices(struct arguments *a, const struct vm_spec *spec)
{
	const uint8_t *mac = spec->mac;

	add(a, "-chardev", "socket,id=console,fd=%d", QEMU_FD_CONSOLE);
	add(a, "-serial", "chardev:console");
	add(a, "-device", "virtio-serial-pci,id=ports");
	add_port(a, "agent", QEMU_FD_AGENT);
	add_port(a, "share", QEMU_FD_SHARE);
	if (spec->network) {
		add(a, "-netdev", "user,id=net");
		add(a, "-device",
		    "virtio-net-pci,id=eth0,netdev=net,mac=%02x:%02x:%02x:%02x:%02x:%02x,romfile=",
		    mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	}
	add(a, "-device", "virtio-rng-pci,id=rng");
	add(a, "-device", "virtio-balloon-pci,id=balloon,free-page-reporting=on");
	add(a, "-chardev", "socket,id=qmp,fd=%d", QEMU_FD_QMP);
	add(a, "-mon", "chardev=qmp,mode=control");
}

static int check(const struct vm_spec *spec, struct err *err)
{
	if (spec->memory == 0 || spec->memory % MEMORY_UNIT != 0)
		return err_set(err, ERR_INVALID,
			       "%" PRIu64 " bytes of memory: must be a multiple of 2 MiB",
			       spec->memory);
	if (spec->cpus < 1 || spec->cpus > CPUS_MAX)
		return err_set(err, ERR_INVALID, "%" PRIu32 " CPUs: QEMU can have 1 to %d",
			       spec->cpus, CPUS_MAX);
	if (strlen(spec->cmdline) > CMDLINE_MAX)
		return err_set(err, ERR_INVALID,
			       "the kernel's command line is longer than %d characters",
			       CMDLINE_MAX);
	return 0;
}

int qemu_config_make(const struct vm_spec *spec, char ***ret_argv, struct err *err)
{
	struct arguments arguments = {.count = 0};

	if (check(spec, err) < 0)
		return -1;
	add_base(&arguments, spec);
	add_boot(&arguments, spec);
	add_devices(&arguments, spec);
	if (spec->install)
		add_install(&arguments);
	if (spec->incoming)
		add(&arguments, "-incoming", "defer");
	*ret_argv = xmemdup(arguments.argv, (arguments.count + 1) * sizeof(*arguments.argv));
	return 0;
}

void qemu_config_free(char **argv)
{
	if (!argv)
		return;
	for (size_t i = 0; argv[i]; i++)
		free(argv[i]);
	free(argv);
}
