/*
 * modules.order of the package lists every module file, modules.builtin what has no file; both name
 * them "kernel/drivers/virtio/virtio_blk.ko", whatever compression the file on disk has. The graph
 * is walked depth first and a module is appended once its dependencies are in.
 */
#include "image/module.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/unpack.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define INDEX_MAX     ((size_t)4 << 20)
#define MODULE_MAX    ((size_t)32 << 20)
#define MODULE_COUNT  128
#define DEPTH_MAX     32
#define NAME_MAX_SIZE 64

struct resolver {
	const char *directory;
	char *files;   /* content of modules.order */
	char *builtin; /* content of modules.builtin */
	struct module_list *list;
};

/* Section `index` when it lies within the file. */
static const Elf64_Shdr *section_at(const uint8_t *elf, size_t length, size_t index)
{
	const Elf64_Ehdr *header = (const void *)elf;
	size_t at;

	if (index >= header->e_shnum || header->e_shentsize != sizeof(Elf64_Shdr) ||
	    header->e_shoff > length || header->e_shoff % _Alignof(Elf64_Shdr) != 0)
		return NULL;
	at = header->e_shoff + index * sizeof(Elf64_Shdr);
	if (at + sizeof(Elf64_Shdr) > length)
		return NULL;
	const Elf64_Shdr *section = (const void *)(elf + at);
	if (section->sh_type != SHT_NOBITS &&
	    (section->sh_offset > length || section->sh_size > length - section->sh_offset))
		return NULL;
	return section;
}

static const Elf64_Shdr *find_section(const uint8_t *elf, size_t length, const char *name)
{
	const Elf64_Ehdr *header = (const void *)elf;
	const Elf64_Shdr *names = section_at(elf, length, header->e_shstrndx);
	size_t name_size = strlen(name) + 1;

	if (!names || names->sh_type == SHT_NOBITS)
		return NULL;
	for (size_t i = 0; i < header->e_shnum; i++) {
		const Elf64_Shdr *section = section_at(elf, length, i);

		if (section && section->sh_type != SHT_NOBITS &&
		    section->sh_name < names->sh_size &&
		    names->sh_size - section->sh_name >= name_size &&
		    memcmp(elf + names->sh_offset + section->sh_name, name, name_size) == 0)
			return section;
	}
	return NULL;
}

const char *module_depends(const uint8_t *elf, size_t length)
{
	static const char key[] = "depends=";
	const Elf64_Ehdr *header = (const void *)elf;
	const Elf64_Shdr *section;

	if (length < sizeof(*header) || memcmp(elf, ELFMAG, SELFMAG) != 0 ||
	    elf[EI_CLASS] != ELFCLASS64 || elf[EI_DATA] != ELFDATA2LSB)
		return NULL;
	section = find_section(elf, length, ".modinfo");
	if (!section || section->sh_size == 0 ||
	    elf[section->sh_offset + section->sh_size - 1] != '\0')
		return NULL;
	const char *text = (const char *)elf + section->sh_offset;
	const char *end = text + section->sh_size;
	for (; text < end; text += strlen(text) + 1)
		if (strncmp(text, key, sizeof(key) - 1) == 0)
			return text + sizeof(key) - 1;
	return "";
}

static bool same_name(const char *a, const char *b, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((a[i] == '-' ? '_' : a[i]) != (b[i] == '-' ? '_' : b[i]))
			return false;
	return true;
}

/* The line of an index whose file is NAME.ko, as a new string; NULL when there is none. */
static char *find_in_index(const char *index, const char *name)
{
	size_t name_length = strlen(name);

	for (const char *line = index; *line;) {
		size_t length = strcspn(line, "\n");
		const char *slash = memrchr(line, '/', length);
		const char *base = slash ? slash + 1 : line;
		size_t base_length = length - (size_t)(base - line);

		if (base_length == name_length + 3 && memcmp(base + name_length, ".ko", 3) == 0 &&
		    same_name(base, name, name_length))
			return xstrndup(line, length);
		line += length + (line[length] == '\n');
	}
	return NULL;
}

static int read_module(const struct resolver *r, const char *relative, struct module *ret_module,
		       struct err *err)
{
	static const char *const endings[] = {"", ".xz", ".zst", ".gz"};

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		auto_free char *path = xasprintf("%s/%s%s", r->directory, relative, endings[i]);

		if (access(path, F_OK) == 0)
			return unpack_read(path, MODULE_MAX, &ret_module->data, &ret_module->length,
					   err);
	}
	return err_set(err, ERR_NOT_FOUND, "%s/%s is not there", r->directory, relative);
}

static bool listed(const struct module_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->modules[i].name, name) == 0)
			return true;
	return false;
}

static int resolve(struct resolver *r, const struct module_wish *wish, int depth, struct err *err);

static int resolve_dependencies(struct resolver *r, const char *depends, int depth, struct err *err)
{
	while (*depends) {
		size_t length = strcspn(depends, ",");
		auto_free char *name = xstrndup(depends, length);
		struct module_wish wish = {.name = name, .required = true};

		if (length >= NAME_MAX_SIZE)
			return err_set(err, ERR_INVALID, "a module name of %zu bytes", length);
		if (length > 0 && resolve(r, &wish, depth + 1, err) < 0)
			return -1;
		depends += length + (depends[length] == ',');
	}
	return 0;
}

static int add_file(struct resolver *r, const char *name, const char *relative, int depth,
		    struct err *err)
{
	struct module module = {0};
	const char *depends;
	int result = -1;

	if (read_module(r, relative, &module, err) < 0)
		return -1;
	depends = module_depends(module.data, module.length);
	if (!depends)
		(void)err_set(err, ERR_INVALID, "%s is no kernel module", relative);
	else
		result = resolve_dependencies(r, depends, depth, err);
	if (result == 0 && r->list->count == MODULE_COUNT)
		result = err_set(err, ERR_INVALID, "more than %d modules", MODULE_COUNT);
	if (result < 0) {
		free(module.data);
		return err_wrap(err, "module %s", name);
	}
	module.name = xstrdup(name);
	r->list->modules[r->list->count++] = module;
	return 0;
}

static int resolve(struct resolver *r, const struct module_wish *wish, int depth, struct err *err)
{
	auto_free char *name = xstrdup(wish->name);

	for (char *p = name; *p; p++)
		if (*p == '-')
			*p = '_';
	auto_free char *builtin = find_in_index(r->builtin, name);
	if (builtin || listed(r->list, name))
		return 0;
	if (depth > DEPTH_MAX)
		return err_set(err, ERR_INVALID, "module %s depends on itself", name);
	auto_free char *relative = find_in_index(r->files, name);
	if (relative)
		return add_file(r, name, relative, depth, err);
	if (!wish->required)
		return 0;
	return err_set(err, ERR_NOT_FOUND, "the kernel has no driver %s", name);
}

int module_resolve(const char *directory, const struct module_wish *wishes, size_t wish_count,
		   struct module_list *ret_list, struct err *err)
{
	struct module_list list = {.modules = xcalloc(MODULE_COUNT, sizeof(struct module))};
	auto_free char *order = path_join(directory, "modules.order");
	auto_free char *builtin = path_join(directory, "modules.builtin");
	struct resolver r = {.directory = directory, .list = &list};
	int result = -1;

	if (file_read(AT_FDCWD, order, INDEX_MAX, &r.files, NULL, err) == 0 &&
	    file_read(AT_FDCWD, builtin, INDEX_MAX, &r.builtin, NULL, err) == 0)
		result = 0;
	for (size_t i = 0; result == 0 && i < wish_count; i++)
		result = resolve(&r, &wishes[i], 0, err);
	free(r.files);
	free(r.builtin);
	if (result < 0)
		module_list_done(&list);
	else
		*ret_list = list;
	return result;
}

void module_list_done(struct module_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->modules[i].name);
		free(list->modules[i].data);
	}
	free(list->modules);
	*list = (struct module_list){0};
}
