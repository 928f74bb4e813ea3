#include "supervisor/machine.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "guest/boot.h"
#include "supervisor/ram.h"
#include "vm/kvm_probe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static int choose_accel(struct machine *machine, const enum vm_accel *accel, struct err *err)
{
	const char *wish = getenv("DXVM_ACCEL");

	if (accel && (!wish || !*wish)) {
		machine->spec.accel = *accel;
		return 0;
	}
	free(take_ptr(&machine->accel_reason));
	return kvm_choose(&machine->spec.accel, &machine->accel_reason, err);
}

/* A system that boots itself learns who it is from its command line: its disk may be a copy. */
static char *add_identity(const char *cmdline, const struct settings *settings, const char *id)
{
	return settings->guest->boots_itself ? xasprintf("%s systemd.machine_id=%s", cmdline, id)
					     : xstrdup(cmdline);
}

/* What only a real machine has: RAM, files to boot, an accelerator. */
static int prepare_hardware(struct machine *machine, int data_dir, const struct settings *settings,
			    bool previous, const enum vm_accel *accel, struct err *err)
{
	auto_free char *devbox = path_program("devbox", "dxvm-devbox", err);
	const struct guest_programs programs = {.agent = machine->agent_program, .devbox = devbox};
	struct guest_boot boot;

	if (!devbox || choose_accel(machine, accel, err) < 0 ||
	    guest_boot_open(data_dir, settings->guest, &programs, previous, &boot, err) < 0)
		return -1;
	machine->spec.kernel_fd = boot.kernel_fd;
	machine->spec.initrd_fd = boot.initrd_fd;
	machine->spec.disk_fd = boot.disk_fd;
	machine->cmdline = add_identity(boot.cmdline, settings, machine->spec.id);
	machine->spec.cmdline = machine->cmdline;
	free(boot.cmdline);
	return ram_create(settings->mem, &machine->spec.ram_fd, err);
}

int machine_prepare(struct machine *machine, int data_dir, const struct project *project,
		    const struct identity *identity, const struct settings *settings, bool previous,
		    const enum vm_accel *accel, struct err *err)
{
	*machine = (struct machine)MACHINE_INIT;
	machine->ops = settings->guest->has_machine ? &vm_qemu : &vm_fake;
	machine->accel_reason = xstrdup("");
	machine->spec.id = identity->hex;
	machine->spec.memory = settings->mem;
	machine->spec.cpus = (uint32_t)settings->cpu;
	machine->spec.network = settings->net;
	machine->spec.project_dir = project->root;
	memcpy(machine->spec.mac, identity->mac, sizeof(identity->mac));
	machine->agent_program = path_program("agent", "dxvm-agent", err);
	machine->spec.agent_program = machine->agent_program;
	if (!machine->agent_program ||
	    file_socketpair(&machine->spec.agent_fd, &machine->agent_peer, err) < 0 ||
	    file_socketpair(&machine->spec.share_fd, &machine->share_peer, err) < 0 ||
	    (settings->guest->has_machine &&
	     prepare_hardware(machine, data_dir, settings, previous, accel, err) < 0)) {
		machine_done(machine);
		return -1;
	}
	return 0;
}

int machine_claim(struct machine *machine, int data_dir, const struct settings *settings,
		  bool may_grow, struct err *err)
{
	struct vm_spec *spec = &machine->spec;

	if (!settings->guest->has_machine)
		return 0;
	spec->console_fd = openat(
	    data_dir, "console",
	    O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (spec->console_fd < 0)
		return err_sys(err, "console");
	return may_grow && spec->disk_fd >= 0 ? guest_disk_grow(spec->disk_fd, settings->disk, err)
					      : 0;
}

void machine_started(struct machine *machine)
{
	close_fd(&machine->spec.kernel_fd);
	close_fd(&machine->spec.initrd_fd);
	close_fd(&machine->spec.disk_fd);
	close_fd(&machine->spec.console_fd);
	close_fd(&machine->spec.agent_fd);
	close_fd(&machine->spec.share_fd);
}

void machine_done(struct machine *machine)
{
	machine_started(machine);
	close_fd(&machine->spec.ram_fd);
	close_fd(&machine->agent_peer);
	close_fd(&machine->share_peer);
	free(take_ptr(&machine->accel_reason));
	free(take_ptr(&machine->agent_program));
	free(take_ptr(&machine->cmdline));
}
