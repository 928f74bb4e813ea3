#pragma once
/*
 * What QEMU is started with: a pure function of the vm_spec. The command line is for QEMU 7.2 and
 * newer (docs: qemu(1)); every descriptor has a fixed number in the child, so the text is the same
 * from run to run and can be shown.
 */
#include "vm/vm.h"

#define QEMU_PROGRAM "qemu-system-x86_64"

/* By which an installer finds its disks (/sys/block/NAME/serial). */
#define QEMU_SERIAL_ROOT  "dxvm-root"
#define QEMU_SERIAL_MEDIA "dxvm-iso"

/* Numbers of the descriptors in QEMU. */
enum qemu_fd {
	QEMU_FD_QMP = 3,
	QEMU_FD_AGENT,
	QEMU_FD_SHARE,
	QEMU_FD_CONSOLE,
	QEMU_FD_KERNEL,
	QEMU_FD_INITRD,
	QEMU_FD_RAM,
	QEMU_FD_DISK,
	QEMU_FD_STATE,
	QEMU_FD_MEDIA,
	QEMU_FD_BOOTSTRAP,
	QEMU_FD_BOOT,
	QEMU_FD_END,
};

/* *ret_argv: NULL-terminated, to be freed with qemu_config_free. ERR_INVALID for a spec that no
 * QEMU could run (memory not a multiple of 2 MiB, no CPU, too long a command line). */
int qemu_config_make(const struct vm_spec *spec, char ***ret_argv, struct err *err);
void qemu_config_free(char **argv);
static inline void qemu_config_done(char ***argv)
{
	qemu_config_free(*argv);
}
#define auto_argv CLEANUP(qemu_config_done)
