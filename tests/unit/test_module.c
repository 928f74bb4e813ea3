/* A kernel's module directory in miniature: files that are ELF enough to hold a .modinfo. */
#include "base/mem.h"
#include "image/module.h"
#include "unit/temp_dir.h"
#include "unit/test.h"

#include <elf.h>

#define KO_MAX 1024

/* Header, .modinfo, section names, section table; *ret_length is its size. */
static void make_ko(const char *depends, uint8_t ko[KO_MAX], size_t *ret_length)
{
	static const char names[] = "\0.modinfo\0.shstrtab";
	Elf64_Ehdr header = {.e_shentsize = sizeof(Elf64_Shdr), .e_shnum = 3, .e_shstrndx = 2};
	Elf64_Shdr sections[3] = {{0}};
	size_t at = sizeof(header);
	int info;

	memset(ko, 0, KO_MAX);
	memcpy(header.e_ident, ELFMAG, SELFMAG);
	header.e_ident[EI_CLASS] = ELFCLASS64;
	header.e_ident[EI_DATA] = ELFDATA2LSB;
	info =
	    snprintf((char *)ko + at, 256, "license=GPL%cdepends=%s%cretpoline=Y", 0, depends, 0);
	sections[1] = (Elf64_Shdr){
	    .sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = at, .sh_size = (size_t)info + 1};
	at += (size_t)info + 1;
	memcpy(ko + at, names, sizeof(names));
	sections[2] = (Elf64_Shdr){
	    .sh_name = 10, .sh_type = SHT_STRTAB, .sh_offset = at, .sh_size = sizeof(names)};
	at = (at + sizeof(names) + 7) & ~(size_t)7;
	header.e_shoff = at;
	memcpy(ko + at, sections, sizeof(sections));
	memcpy(ko, &header, sizeof(header));
	*ret_length = at + sizeof(sections);
}

static void put_ko(const struct temp_dir *dir, const char *name, const char *depends)
{
	uint8_t ko[KO_MAX];
	size_t length;

	make_ko(depends, ko, &length);
	temp_dir_put(dir, name, ko, length);
}

/* a needs b and c; c-d needs b; e needs itself in a circle with f. */
static struct temp_dir make_kernel(void)
{
	struct temp_dir dir = temp_dir_make();

	temp_dir_put_text(&dir, "modules.order",
			  "kernel/a.ko\nkernel/b.ko\nkernel/x/c-d.ko\nkernel/e.ko\nkernel/f.ko\n"
			  "kernel/gone.ko\nkernel/bad.ko\n");
	temp_dir_put_text(&dir, "modules.builtin", "kernel/fs/ext4/ext4.ko\n");
	(void)mkdirat(dir.fd, "kernel", 0755);
	(void)mkdirat(dir.fd, "kernel/x", 0755);
	put_ko(&dir, "kernel/a.ko", "c_d,b,ext4");
	put_ko(&dir, "kernel/b.ko", "");
	put_ko(&dir, "kernel/x/c-d.ko", "b");
	put_ko(&dir, "kernel/e.ko", "f");
	put_ko(&dir, "kernel/f.ko", "e");
	temp_dir_put_text(&dir, "kernel/bad.ko", "no ELF at all");
	return dir;
}

static int resolve_one(const struct temp_dir *dir, const char *name, bool required,
		       struct module_list *list, struct err *err)
{
	const struct module_wish wish = {.name = name, .required = required};

	return module_resolve(dir->path, &wish, 1, list, err);
}

static void dependencies_come_first_and_once(void)
{
	auto_temp_dir struct temp_dir dir = make_kernel();
	const struct module_wish wishes[] = {{"ext4", true}, {"a", true}, {"b", true}};
	struct module_list list;
	struct err err = ERR_INIT;

	CHECK_INT(module_resolve(dir.path, wishes, ARRAY_SIZE(wishes), &list, &err), 0);
	CHECK_INT(list.count, 3);
	CHECK_STR(list.modules[0].name, "b");
	CHECK_STR(list.modules[1].name, "c_d");
	CHECK_STR(list.modules[2].name, "a");
	CHECK(memcmp(list.modules[2].data, ELFMAG, SELFMAG) == 0);
	module_list_done(&list);
}

static void what_is_built_in_needs_no_file(void)
{
	auto_temp_dir struct temp_dir dir = make_kernel();
	struct module_list list;
	struct err err = ERR_INIT;

	CHECK_INT(resolve_one(&dir, "ext4", true, &list, &err), 0);
	CHECK_INT(list.count, 0);
	module_list_done(&list);
}

static void a_missing_driver_matters_only_when_required(void)
{
	auto_temp_dir struct temp_dir dir = make_kernel();
	struct module_list list;
	struct err err = ERR_INIT;

	CHECK_INT(resolve_one(&dir, "nothing", false, &list, &err), 0);
	CHECK_INT(list.count, 0);
	module_list_done(&list);
	CHECK_INT(resolve_one(&dir, "nothing", true, &list, &err), -1);
	CHECK_STR(err.text, "the kernel has no driver nothing");
}

static void broken_kernels_are_errors_that_name_the_module(void)
{
	static const char *const names[] = {"e", "gone", "bad"};
	auto_temp_dir struct temp_dir dir = make_kernel();
	struct module_list list;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct err err = ERR_INIT;

		CHECK_INT(resolve_one(&dir, names[i], true, &list, &err), -1);
		CHECK(strstr(err.text, names[i]) != NULL);
	}
}

static void depends_is_found_in_a_module(void)
{
	uint8_t ko[KO_MAX] __attribute__((aligned(8)));
	size_t length;

	make_ko("x,y", ko, &length);
	CHECK_STR(module_depends(ko, length), "x,y");
}

/* Each in memory of its exact size, so that the sanitizer sees one byte too far. */
static void a_damaged_module_is_refused_or_read_within_its_bounds(void)
{
	uint8_t ko[KO_MAX];
	size_t length;

	make_ko("x,y", ko, &length);
	for (size_t cut = 0; cut < length; cut++) {
		auto_free uint8_t *copy = xmemdup(ko, cut ? cut : 1);

		CHECK(module_depends(copy, cut) == NULL);
	}
	for (size_t at = 0; at < length; at++) {
		for (int value = 0; value < 256; value += 51) {
			auto_free uint8_t *copy = xmemdup(ko, length);

			copy[at] = (uint8_t)value;
			const char *depends = module_depends(copy, length);
			CHECK(!depends || strlen(depends) < KO_MAX);
		}
	}
}

TEST_MAIN(TEST(dependencies_come_first_and_once), TEST(what_is_built_in_needs_no_file),
	  TEST(a_missing_driver_matters_only_when_required),
	  TEST(broken_kernels_are_errors_that_name_the_module), TEST(depends_is_found_in_a_module),
	  TEST(a_damaged_module_is_refused_or_read_within_its_bounds))
