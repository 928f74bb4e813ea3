#pragma once
/*
 * Debian's kernel for virtual machines: fetched, unpacked, and made into the two files that a guest
 * boots from. Without root; the package's scripts are never run.
 */
#include "base/err.h"
#include "image/apt.h"

struct kernel {
	char *directory; /* the unpacked package */
	char *release;	 /* "6.12.1-cloud-amd64" */
	char *modules;	 /* .../lib/modules/RELEASE */
	char *image;	 /* the file to boot */
};

/* Fetches and unpacks into `scratch`/kernel. */
int kernel_get(const struct apt *apt, const char *scratch, struct kernel *ret_kernel,
	       struct err *err);
void kernel_done(struct kernel *kernel);

/* Writes `kernel` and `initrd` into the directory. `tiny`: the initrd is a system of its own. */
int kernel_make_boot(const struct apt *apt, const struct kernel *kernel, const char *scratch,
		     bool tiny, int directory, struct err *err);
