#pragma once
/*
 * The files of an installation, all in the data directory:
 *
 *	installer/	kernel, initrd, cmdline, iso, hash, release, disk.img	from dxvm-image
 *	installer/boot	what the new system wants booted		from the installer
 *	bootstrap/	what the installer runs and copies		from us
 *
 * and in the end disk.img and boot/, which replace those of a VM that was there. The data directory
 * may have been shipped in a repository and the installer is a guest: nothing is followed, all is
 * bounded.
 */
#include "base/err.h"
#include "project/project.h"
#include "project/settings.h"

#include <stdint.h>

struct installer_files {
	int data_dir;							    /* lent */
	int kernel_fd, initrd_fd, disk_fd, media_fd, bootstrap_fd, boot_fd; /* ours; -1 */
	char *cmdline;
	char *release;
	char *hash; /* of the ISO image */
};

/* Opens what dxvm-image left and makes bootstrap/. */
int installer_files_open(int data_dir, const struct project *project,
			 const struct settings *settings, struct installer_files *ret_files,
			 struct err *err);
/* Closes our descriptors: the machine has its own. */
void installer_files_close(struct installer_files *files);

/* The installation is complete and its machine gone: what it made becomes the VM's. */
int installer_files_publish(struct installer_files *files, const struct project *project,
			    struct err *err);
/* A new file in a directory that holds what `from` holds, on disk. */
int installer_files_copy(int from, int dir, const char *name, struct err *err);
/* Takes installer/ and bootstrap/ away. */
void installer_files_remove(const struct installer_files *files);
