#pragma once
/*
 * The ISO image of an installer, as far as booting it needs. It may be anything: a web page, cut
 * short, made to harm.
 */
#include "base/err.h"

#include <stdint.h>

struct iso {
	int fd;
	char volume[33]; /* its label, without trailing spaces; control characters are '?' */
};

/* Opens a regular file that begins as an ISO 9660 image and is as long as that says. */
int iso_open(const char *path, struct iso *ret_iso, struct err *err);
void iso_close(struct iso *iso);

/* Writes `kernel`, `initrd` and `cmdline` of the first entry of its boot menu into a directory
 * where they are not yet. The layouts of NixOS of x86_64 and aarch64 from 23.05 on are known. */
int iso_take_boot(const struct iso *iso, int directory, struct err *err);
