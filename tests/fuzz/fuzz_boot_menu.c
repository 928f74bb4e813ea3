/*
 * The boot menus of an ISO image. The first byte says in which language. Whatever it is: paths stay
 * inside the image, and the parameters are one printable line that a kernel takes.
 */
#include "base/mem.h"
#include "image/boot_menu.h"

#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(const char *path)
{
	auto_free char *framed = xasprintf("/%s/", path);

	assert(*path);
	assert(!strstr(framed, "//") && !strstr(framed, "/../") && !strstr(framed, "/./"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct boot_entry entry = {0};
	struct err err = ERR_INIT;

	if (size < 1)
		return 0;
	auto_free char *text = xstrndup((const char *)data + 1, size - 1);
	if (boot_menu_parse(text, data[0] % 2 ? BOOT_MENU_ISOLINUX : BOOT_MENU_GRUB, &entry, &err) <
	    0) {
		assert(!entry.kernel && !entry.initrd && !entry.cmdline && err.text[0]);
		return 0;
	}
	check_path(entry.kernel);
	check_path(entry.initrd);
	assert(strlen(entry.cmdline) <= 2000);
	for (const char *p = entry.cmdline; *p; p++)
		assert(isprint((unsigned char)*p));
	boot_entry_done(&entry);
	return 0;
}
