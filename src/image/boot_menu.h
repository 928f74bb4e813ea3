#pragma once
/*
 * What the boot menu of an installer would start: the first entry of a grub.cfg or an isolinux.cfg.
 * Pure; the text is from outside. Paths come out relative, with single slashes and never out of the
 * image; the command line is one line of printable ASCII.
 */
#include "base/err.h"

enum boot_menu_kind {
	BOOT_MENU_GRUB,
	BOOT_MENU_ISOLINUX,
};

struct boot_entry {
	char *kernel;
	char *initrd;
	char *cmdline;
};

/* ERR_NOT_FOUND when no entry has a kernel and an initrd. */
int boot_menu_parse(const char *text, enum boot_menu_kind kind, struct boot_entry *ret_entry,
		    struct err *err);
void boot_entry_done(struct boot_entry *entry);
