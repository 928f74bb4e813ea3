#pragma once
/*
 * A process of its own, started by `dxvm install` as "dxvm install-guest ROOT DATA_DIR" once
 * dxvm-image has made DATA_DIR/installer: boots the installer in a machine, has it install a system
 * on installer/disk.img, and makes a VM of that. What it does it says on standard output, in the
 * lines of image/progress.h. TERM ends it and leaves what was there before.
 */
/* Returns the exit status. */
int installer_main(int argc, char **argv);
