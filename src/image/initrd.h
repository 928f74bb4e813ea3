#pragma once
/*
 * The boot initrd of a guest without its /init: modules and their order, and for the tiny guest
 * busybox with a link for each of its commands and a small /etc. The agent is appended as /init
 * when the guest starts (guest/initrd.h).
 *
 *	/lib/dxvm/modules/NAME.ko	/lib/dxvm/modules.order (file names, in the order to load)
 */
#include "base/err.h"
#include "image/module.h"

/* What makes an initramfs a system of its own; all strings stay the caller's. */
struct initrd_system {
	const char *busybox;  /* path of a static busybox */
	const char *terminfo; /* a directory with entries like x/xterm, or NULL */
};

/* Writes it to fd. `system` is NULL for a guest with a disk. */
int initrd_write(int fd, const struct module_list *modules, const struct initrd_system *system,
		 struct err *err);
