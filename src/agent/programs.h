#pragma once
/*
 * dxvm's other program for the guest, dxvm-devbox, which comes beside /init in the initramfs. It
 * lives in /run, so that it is always this boot's and nothing of it stays on the disk.
 */
#define PROGRAMS "/run/dxvm/bin"

/* Opened before the initramfs goes away; -1 if it did not come along. The caller's. */
int programs_take(void);

/* Puts it into PROGRAMS, once /run is there. */
void programs_install(int program);
