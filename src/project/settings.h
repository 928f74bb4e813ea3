#pragma once
/*
 * What a person can set about a VM: one small text file a setting in the data directory, so that
 * `echo 4 >cpu` works. Read at each start. A file that cannot be understood is an error that names
 * file, line and what is allowed; nothing is overwritten. Missing file: the default.
 */
#include "base/err.h"
#include "project/kind.h"

#include <stdbool.h>
#include <stdint.h>

struct settings {
	uint64_t mem;  /* bytes of RAM */
	uint64_t cpu;  /* processors */
	uint64_t disk; /* bytes of disk.img, sparse; it only ever grows */
	bool net;      /* "user" or "off" */
	const struct kind *guest;
};

int settings_load(int data_dir, struct settings *ret_settings, struct err *err);

/* Writes `guest`, and `mem`, `cpu` and `disk` with their defaults where they are missing, so that
 * a person finds what there is to edit. */
int settings_write_missing(int data_dir, const struct kind *guest, struct err *err);

/* "512M", "4G", "1073741824"; K, M, G, T are powers of 1024, an "iB" or "B" may follow.
 * False: not a size. */
bool settings_parse_size(const char *text, uint64_t *ret_bytes);
