#pragma once
/*
 * What is needed to install NixOS into a data directory, in `installer` there:
 *
 *	kernel, initrd, cmdline   of the installer; the parameters as its boot menu has them
 *	iso                       where the image lies, an absolute path
 *	release                   "26.05\n"
 *	disk.img                  empty, sparse
 *
 * It is complete when it is there. No guest sees it.
 */
#include "base/err.h"
#include "image/install.h"

int nixos_prepare(const struct install *install, struct err *err);
