#pragma once
/*
 * What an installation made, kept for the user's next project, so that this takes seconds:
 *
 *	STATE/base/nixos-RELEASE-MACHINE-HASH/{disk.img,kernel,initrd,cmdline}
 *
 * beside the base images of dxvm-image and under its lock. The hash covers all that goes into an
 * installation: the ISO image, the configuration with the user in it, what is imported, the script,
 * the size of the disk. So a base is used only where an installation would give the same. It is the
 * disk before its first start, which knows no project and no machine.
 */
#include "supervisor/installer_files.h"

/* The caller's. */
int installer_base_name(const struct installer_files *files, char **ret_name, struct err *err);

/* Its directory, the caller's; -1 where there is none that could be used. */
int installer_base_open(const char *name);
/* Makes the files what an installation would have made them. */
int installer_base_take(int base, const struct installer_files *files, struct err *err);

/* Keeps what was published, and removes the bases of this release that it makes old. */
int installer_base_keep(const char *name, const struct installer_files *files, struct err *err);
