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
#include <sys/socket.h>

static int make_port(int *ret_guest, int *ret_host, struct err *err)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(err, "socketpair");
	*ret_guest = ends[0];
	*ret_host = ends[1];
	return 0;
}

/* What only a real machine has: RAM, files to boot, an accelerator. */
static int prepare_hardware(struct machine *machine, int data_dir, const struct settings *settings,
			    struct err *err)
{
	struct guest_boot boot;

	free(take_ptr(&machine->accel_reason));
	if (kvm_choose(&machine->spec.accel, &machine->accel_reason, err) < 0 ||
	    guest_boot_open(data_dir, settings->guest, machine->agent_program, settings->disk,
			    &boot, err) < 0)
		return -1;
	machine->spec.kernel_fd = boot.kernel_fd;
	machine->spec.initrd_fd = boot.initrd_fd;
	machine->spec.disk_fd = boot.disk_fd;
	machine->spec.cmdline = machine->cmdline = boot.cmdline;
	machine->spec.console_fd = openat(
	    data_dir, "console",
	    O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (machine->spec.console_fd < 0)
		return err_sys(err, "console");
	return ram_create(settings->mem, &machine->spec.ram_fd, err);
}

int machine_prepare(struct machine *machine, int data_dir, const struct project *project,
		    const struct identity *identity, const struct settings *settings,
		    struct err *err)
{
	*machine = (struct machine){
	    .ops = settings->guest->has_machine ? &vm_qemu : &vm_fake,
	    .spec =
		{
		    .id = identity->hex,
		    .memory = settings->mem,
		    .cpus = (uint32_t)settings->cpu,
		    .network = settings->net,
		    .ram_fd = -1,
		    .kernel_fd = -1,
		    .initrd_fd = -1,
		    .disk_fd = -1,
		    .console_fd = -1,
		    .agent_fd = -1,
		    .share_fd = -1,
		    .project_dir = project->root,
		},
	    .accel_reason = xstrdup(""),
	    .agent_peer = -1,
	    .share_peer = -1,
	};
	memcpy(machine->spec.mac, identity->mac, sizeof(identity->mac));
	machine->agent_program = path_program("agent", "dxvm-agent", err);
	machine->spec.agent_program = machine->agent_program;
	if (!machine->agent_program ||
	    make_port(&machine->spec.agent_fd, &machine->agent_peer, err) < 0 ||
	    make_port(&machine->spec.share_fd, &machine->share_peer, err) < 0 ||
	    (settings->guest->has_machine &&
	     prepare_hardware(machine, data_dir, settings, err) < 0)) {
		machine_done(machine);
		return -1;
	}
	return 0;
}

void machine_done(struct machine *machine)
{
	int *const fds[] = {
	    &machine->spec.ram_fd,   &machine->spec.kernel_fd,	&machine->spec.initrd_fd,
	    &machine->spec.disk_fd,  &machine->spec.console_fd, &machine->spec.agent_fd,
	    &machine->spec.share_fd, &machine->agent_peer,	&machine->share_peer,
	};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		int fd = take_fd(fds[i]);

		cleanup_close(&fd);
	}
	free(take_ptr(&machine->accel_reason));
	free(take_ptr(&machine->agent_program));
	free(take_ptr(&machine->cmdline));
}
