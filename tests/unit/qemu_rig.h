#pragma once
/*
 * A vm_spec with everything QEMU needs, a loop with a limit, and what the backend reported. The
 * guest is a hundred bytes of our own that QEMU boots as a multiboot kernel, so that a whole life
 * of a machine takes a fraction of a second even without KVM. The last character of its command
 * line says what it does: p powers off, r prints a panic and resets, b waits for the power button
 * and powers off, anything else waits for ever.
 */
#include "temp_dir.h"
#include "vm/vm.h"

struct rig {
	uv_loop_t loop;
	uv_timer_t limit;
	struct temp_dir dir;
	struct vm_spec spec;
	struct vm *vm;
	int agent_peer;
	int share_peer;
	int gone;
	int saved, loaded;
	char failure[512];  /* of these two, or "" */
	char notices[1024]; /* one a line */
	bool timed_out;
	struct vm_exit exit;
};

void rig_init(struct rig *rig, const char *cmdline);
/* Starts the machine; the ends of the ports that are QEMU's are closed then. */
int rig_start(struct rig *rig, struct err *err);
/* A script in the place of QEMU, in the rig's directory, and a start with that as PATH. */
void rig_put_program(struct rig *rig, const char *text);
int rig_start_with_path(struct rig *rig, const char *path, struct err *err);
void rig_run(struct rig *rig);			       /* until the machine is gone, or timed_out */
void rig_run_until_up(struct rig *rig);		       /* until the guest said that it runs */
void rig_run_until(struct rig *rig, const int *count); /* until that is not 0 any more */
void rig_done(struct rig *rig);
#define auto_rig CLEANUP(rig_done)

bool rig_can_run(void); /* a real QEMU */
#define NEED_QEMU()                                                                                \
	do {                                                                                       \
		if (!rig_can_run())                                                                \
			SKIP("needs an x86-64 host with qemu-system-x86_64");                      \
	} while (0)
