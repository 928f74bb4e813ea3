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

/* Opens everything. On failure nothing is left open. */
int machine_prepare(struct machine *machine, int data_dir, const struct project *project,
		    const struct identity *identity, const struct settings *settings,
		    struct err *err);
void machine_done(struct machine *machine);
