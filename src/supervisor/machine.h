#pragma once
/*
 * From the data directory to a machine that can be started: the RAM, the opened files, the sockets,
 * and the vm_spec that names them. The machine owns every descriptor in it.
 */
#include "project/identity.h"
#include "project/project.h"
#include "project/settings.h"
#include "vm/vm.h"

struct machine {
	const struct vm_ops *ops;
	struct vm_spec spec;
	char *accel_reason; /* why it is not KVM, "" if there is nothing to say */
	char *agent_program;
	char *cmdline;
	int agent_peer; /* our ends of the two ports */
	int share_peer;
};

/* Nothing opened yet: machine_done has nothing to do. */
#define MACHINE_INIT                                                                               \
	{                                                                                          \
		.spec = {.ram_fd = -1,                                                             \
			 .kernel_fd = -1,                                                          \
			 .initrd_fd = -1,                                                          \
			 .disk_fd = -1,                                                            \
			 .console_fd = -1,                                                         \
			 .agent_fd = -1,                                                           \
			 .share_fd = -1},                                                          \
		.agent_peer = -1, .share_peer = -1                                                 \
	}

/* Opens everything and changes nothing: no lock is needed. previous: boots the system before the
 * present one. accel: what a machine before this one had; NULL: find out what there is (DXVM_ACCEL
 * counts more than either). On failure nothing is left open. */
int machine_prepare(struct machine *machine, int data_dir, const struct project *project,
		    const struct identity *identity, const struct settings *settings, bool previous,
		    const enum vm_accel *accel, struct err *err);
/* What a start changes in the data directory: the console's file begins anew, and the disk becomes
 * as long as the settings say. may_grow: not below a guest that goes on, for which it is the disk
 * it was suspended with. */
int machine_claim(struct machine *machine, int data_dir, const struct settings *settings,
		  bool may_grow, struct err *err);
/* Once the machine runs, it has its own copies: closes ours, so that its end is the end of the
 * ports. The RAM and our ends of the ports stay. */
void machine_started(struct machine *machine);
void machine_done(struct machine *machine);
