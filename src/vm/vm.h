#pragma once
/*
 * A machine, behind one table of functions. The supervisor fills a vm_spec, starts it on its loop,
 * and hears about it through vm_events; which backend runs it is the choice of `struct vm_ops`.
 * Everything runs on the thread of the loop; events are never called from inside a vm_* call but
 * for vm_free.
 */
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

enum vm_accel {
	VM_ACCEL_TCG,
	VM_ACCEL_KVM,
};

/* What only the machine of an installer has. Descriptors, as in vm_spec. */
struct vm_install {
	int media_fd;	  /* its ISO, opened read-only */
	int bootstrap_fd; /* a directory the guest can read, over 9p with this tag */
	int boot_fd;	  /* a directory the guest can write: only plain files appear in it */
};

/* What to run. Strings and descriptors stay the caller's; descriptors are duplicated into the child
 * and may be closed after vm_start. */
struct vm_spec {
	const char *id;	 /* hex, for names and logs */
	uint64_t memory; /* bytes, a multiple of 2 MiB */
	uint32_t cpus;
	enum vm_accel accel; /* the result of kvm_probe or of DXVM_ACCEL */
	int ram_fd;	     /* memfd of `memory` bytes: the guest's RAM, the supervisor's */
	int kernel_fd;	     /* opened read-only */
	int initrd_fd;	     /* opened read-only (a memfd) */
	const char *cmdline;
	int disk_fd;	/* raw image opened read-write, or -1 */
	int console_fd; /* where the serial console goes, opened for reading and appending: the
			   older half of it is dropped past 1 MiB; or -1 */
	int agent_fd;	/* our side's peer of the agent port: end of a socketpair */
	int share_fd;	/* the same for the share port */
	bool incoming;	/* not a cold boot: the guest stands still until `load` and `cont` */
	int state_fd;	/* then: the device state to load, positioned at its start */
	uint8_t mac[6];
	bool network;			  /* QEMU's user network, or none at all */
	const struct vm_install *install; /* NULL: no installer */
	const char *agent_program;	  /* fake: path of a dxvm-agent that runs on this host */
	const char *project_dir; /* fake: the directory that stands in for the guest's project */
};

struct vm_exit {
	bool expected;	/* powered off by itself or on our request, nothing to complain about */
	bool early;	/* it died before its guest can have run: the accelerator may be at fault */
	bool unborn;	/* it died before it took a command, `load` for one */
	bool panicked;	/* the guest's kernel said so on its console */
	char text[512]; /* why, with the machine's own words (its stderr), for people; "" if
			   expected */
};

struct vm_events {
	/* Something people should know that is not the end, one line: the guest is paused because
	 * the host's disk is full, or goes on. May be NULL. */
	void (*notice)(void *ctx, const char *text);
	/* The same for whoever waits for the guest. May be NULL. */
	void (*stalled)(void *ctx, bool stalled);
	/* The answer to `save`: NULL when the state is complete; the machine ends then, and `gone`
	 * follows. Else the guest goes on running. */
	void (*saved)(void *ctx, const struct err *failure);
	/* The answer to `load`: NULL when it is done; the guest stands still until `cont`. ERR_GUEST
	 * when it does not want that state. A machine that cannot take one may also just end
	 * (`gone`). */
	void (*loaded)(void *ctx, const struct err *failure);
	/* What the guest wrote to its console, as it comes; also in the file. May be NULL. */
	void (*console)(void *ctx, const void *bytes, size_t length);
	/* The machine is gone; the last event. Call vm_free when convenient, also from in here. */
	void (*gone)(void *ctx, const struct vm_exit *exit);
};

struct vm;

struct vm_ops {
	const char *name; /* "qemu", "fake" */
	int (*start)(const struct vm_spec *spec, uv_loop_t *loop, const struct vm_events *events,
		     void *ctx, struct vm **ret_vm, struct err *err);
	/* What start would run, one argument a line, for --dry-run and the log. */
	int (*describe)(const struct vm_spec *spec, struct buf *text, struct err *err);
	/* Take out what the machine is beyond its RAM, into this descriptor of a file. NULL, like
	 * the next two: this backend cannot. */
	int (*save)(struct vm *vm, int fd, struct err *err);
	int (*load)(struct vm *vm, struct err *err); /* from spec.state_fd */
	/* Why the guest stands still though nobody asked for it; NULL: it does not. May be NULL. */
	const char *(*paused)(const struct vm *vm);
	void (*cont)(struct vm *vm);				       /* let the guest go on */
	int (*type)(struct vm *vm, const char *text, struct err *err); /* on the console; may be
									  NULL */
	void (*power_button)(struct vm *vm); /* ask the guest's firmware way (ACPI) */
	void (*kill)(struct vm *vm);	     /* at once; `gone` follows */
	pid_t (*pid)(const struct vm *vm);
	void (*free)(struct vm *vm); /* kills it if need be; no event after this */
};

/* Every backend's struct vm begins with this. */
struct vm {
	const struct vm_ops *ops;
};

extern const struct vm_ops vm_qemu;
extern const struct vm_ops vm_fake;
