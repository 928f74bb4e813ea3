#pragma once
/*
 * Kernel modules: which files must be loaded, in which order, so that some drivers work. A package
 * of a kernel has no modules.dep (depmod writes it at installation), so the dependencies are read
 * where depmod reads them: "depends=" in the section .modinfo of each module. What is built into
 * the kernel needs no file.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct module_wish {
	const char *name;
	bool required; /* neither a file nor built in: an error; else it is left out */
};

/* A module to load; the content is not compressed. */
struct module {
	char *name; /* with '_' for '-', as the kernel shows it */
	uint8_t *data;
	size_t length;
};

struct module_list {
	struct module *modules;
	size_t count;
};

/* What the wishes need, each once, dependencies first. `directory` is .../lib/modules/RELEASE. */
int module_resolve(const char *directory, const struct module_wish *wishes, size_t wish_count,
		   struct module_list *ret_list, struct err *err);
void module_list_done(struct module_list *list);

/* The value of "depends=" ("" when there is none) of a 64-bit little-endian ELF file, pointing into
 * it; NULL when it cannot be understood. */
const char *module_depends(const uint8_t *elf, size_t length);
