/* The boot menus of installers, as NixOS makes them and as nobody should. */
#include "base/mem.h"
#include "image/boot_menu.h"
#include "unit/test.h"

#include <stdlib.h>

static const char grub_now[] =
    "set timeout=10\n"
    "set isoboot=\"\"\n"
    "menuentry \"NixOS 26.05 Installer\" --class installer {\n"
    "  # Fallback to UEFI console for boot, efifb sometimes has difficulties.\n"
    "  terminal_output console\n"
    "\n"
    "  linux /boot//nix/store/abc-linux-6.18/bzImage ${isoboot} init=/nix/store/xyz/init  "
    "root=fstab loglevel=4\n"
    "  initrd /boot//nix/store/def-initrd-linux-6.18/initrd\n"
    "}\n"
    "menuentry 'nomodeset' {\n"
    "  linux /boot/other init=/other nomodeset\n"
    "  initrd /boot/other-initrd\n"
    "}\n";

static const char isolinux_old[] =
    "SERIAL 0 115200\n"
    "TIMEOUT 35996\n"
    "UI vesamenu.c32\n"
    "DEFAULT boot\n"
    "\n"
    "LABEL boot\n"
    "MENU LABEL NixOS 23.05 Installer\n"
    "LINUX /boot/bzImage\n"
    "APPEND init=/nix/store/xyz/init root=LABEL=nixos-minimal-23.05-x86_64 boot.shell_on_fail\n"
    "INITRD /boot/initrd\n"
    "\n"
    "LABEL boot-nomodeset\n"
    "LINUX /boot/other\n"
    "APPEND other\n"
    "INITRD /boot/other\n";

struct expected {
	const char *kernel, *initrd, *cmdline;
};

static void expect(const char *text, enum boot_menu_kind kind, const struct expected *expected)
{
	struct boot_entry entry = {0};
	struct err err = ERR_INIT;

	CHECK(boot_menu_parse(text, kind, &entry, &err) == 0);
	CHECK_STR(err.text, "");
	CHECK_STR(entry.kernel, expected->kernel);
	CHECK_STR(entry.initrd, expected->initrd);
	CHECK_STR(entry.cmdline, expected->cmdline);
	boot_entry_done(&entry);
}

static void refuse(const char *text, enum boot_menu_kind kind, const char *why)
{
	struct boot_entry entry = {0};
	struct err err = ERR_INIT;

	CHECK(boot_menu_parse(text, kind, &entry, &err) == -1);
	CHECK_STR(err.text, why);
	CHECK(!entry.kernel && !entry.initrd && !entry.cmdline);
}

static void the_first_entry_of_a_grub_menu_is_taken_with_its_parameters_as_they_are(void)
{
	expect(grub_now, BOOT_MENU_GRUB,
	       &(struct expected){"boot/nix/store/abc-linux-6.18/bzImage",
				  "boot/nix/store/def-initrd-linux-6.18/initrd",
				  "init=/nix/store/xyz/init root=fstab loglevel=4"});
}

static void the_first_label_of_an_isolinux_menu_is_taken(void)
{
	expect(isolinux_old, BOOT_MENU_ISOLINUX,
	       &(struct expected){"boot/bzImage", "boot/initrd",
				  "init=/nix/store/xyz/init root=LABEL=nixos-minimal-23.05-x86_64 "
				  "boot.shell_on_fail"});
}

static void lines_of_an_isolinux_entry_come_in_any_order_and_case(void)
{
	expect("label x\r\n\tinitrd /i\r\n\tkernel /k\r\n\tappend a=1  b\r\nlabel y\nlinux /z\n",
	       BOOT_MENU_ISOLINUX, &(struct expected){"k", "i", "a=1 b"});
}

static void an_isolinux_label_without_a_kernel_is_passed_over(void)
{
	expect("LABEL help\nAPPEND not this\nLABEL x\nLINUX k\nINITRD i\n", BOOT_MENU_ISOLINUX,
	       &(struct expected){"k", "i", ""});
}

static void words_of_grub_are_unquoted(void)
{
	expect("linux \"/a b/k\" 'x=$y' z\\ w \"q=\\\"1\\\"\" pre${gone}post $isoboot # not this\n"
	       "initrd /i\n",
	       BOOT_MENU_GRUB, &(struct expected){"a b/k", "i", "x=$y \"z w\" q=\"1\" prepost"});
}

static void a_menu_without_a_kernel_is_refused(void)
{
	static const char why[] = "no entry with a kernel and an initrd";

	refuse("", BOOT_MENU_GRUB, why);
	refuse("<html><body>linux initrd</body></html>", BOOT_MENU_GRUB, why);
	refuse("initrd /i\n", BOOT_MENU_GRUB, why);
	refuse("linux /k a b\n", BOOT_MENU_GRUB, why);
	refuse("linux\ninitrd\n", BOOT_MENU_GRUB, why);
	refuse("LABEL x\nLINUX k\nLABEL y\nINITRD i\n", BOOT_MENU_ISOLINUX, why);
}

static void a_path_out_of_the_image_is_refused(void)
{
	refuse("linux /boot/../../etc/passwd\n", BOOT_MENU_GRUB,
	       "line 1: the path /boot/../../etc/passwd leads out of the image");
	refuse("LABEL x\nLINUX k\nINITRD ..\n", BOOT_MENU_ISOLINUX,
	       "line 3: the path .. leads out of the image");
	refuse("linux / a\n", BOOT_MENU_GRUB, "line 1: an empty path");
}

static void a_path_has_single_slashes_and_no_dots(void)
{
	expect("linux //a/./b///..c/k\ninitrd ./i\n", BOOT_MENU_GRUB,
	       &(struct expected){"a/b/..c/k", "i", ""});
}

static void what_cannot_be_a_parameter_is_refused(void)
{
	refuse("linux /k a\001b\ninitrd /i\n", BOOT_MENU_GRUB,
	       "line 1: a kernel parameter with unprintable characters");
	refuse("LABEL x\nAPPEND \303\244\n", BOOT_MENU_ISOLINUX,
	       "line 2: a kernel parameter with unprintable characters");
}

static void more_than_one_initrd_is_refused(void)
{
	refuse("linux /k\ninitrd /i /j\n", BOOT_MENU_GRUB,
	       "line 2: an entry with more than one initrd");
}

static char *filled(const char *start, char with, size_t length)
{
	char *text = xmalloc(strlen(start) + length + 1);

	memcpy(text, start, strlen(start));
	memset(text + strlen(start), with, length);
	text[strlen(start) + length] = '\0';
	return text;
}

static void what_is_too_long_is_refused(void)
{
	auto_free char *line = filled("linux /k ", 'x', 9000);
	auto_free char *parameters = filled("linux /k ", 'x', 3000);
	auto_free char *path = filled("linux /", 'x', 3000);

	refuse(line, BOOT_MENU_GRUB, "line 1: longer than 8192 bytes");
	refuse(parameters, BOOT_MENU_GRUB, "line 1: kernel parameters of more than 2000 bytes");
	refuse(path, BOOT_MENU_GRUB, "line 1: a path of more than 1024 bytes");
}

static void an_open_quote_or_variable_ends_with_the_line(void)
{
	expect("linux /k \"a b\ninitrd /i ${x\n", BOOT_MENU_GRUB,
	       &(struct expected){"k", "i", "\"a b\""});
}

TEST_MAIN(TEST(the_first_entry_of_a_grub_menu_is_taken_with_its_parameters_as_they_are),
	  TEST(the_first_label_of_an_isolinux_menu_is_taken),
	  TEST(lines_of_an_isolinux_entry_come_in_any_order_and_case),
	  TEST(an_isolinux_label_without_a_kernel_is_passed_over), TEST(words_of_grub_are_unquoted),
	  TEST(a_menu_without_a_kernel_is_refused), TEST(a_path_out_of_the_image_is_refused),
	  TEST(a_path_has_single_slashes_and_no_dots), TEST(what_cannot_be_a_parameter_is_refused),
	  TEST(more_than_one_initrd_is_refused), TEST(what_is_too_long_is_refused),
	  TEST(an_open_quote_or_variable_ends_with_the_line))
