#pragma once
/*
 * dxvm's programs for the guest. In a guest of ours dxvm-devbox comes beside /init in the initramfs
 * and lives in /run, so that it is always this boot's and nothing of it stays on the disk. A guest
 * that boots itself has both on its disk, in PROGRAMS_KEPT; what lies there is used from the next
 * boot on.
 */
#include "base/err.h"

#define PROGRAMS      "/run/dxvm/bin"
#define PROGRAMS_KEPT "/var/lib/dxvm"

/* Opened before the initramfs goes away; -1 if it did not come along. The caller's. */
int programs_take(void);
/* The same of a guest that has it on its disk. */
int programs_take_kept(void);

/* Puts it into PROGRAMS, once /run is there. */
void programs_install(int program);

/* Sees to it that login shells find it and the host's devbox, where /etc/profile would forget them. */
int programs_show_to_logins(struct err *err);
