#pragma once
/*
 * What a person can set about a VM: one small text file a setting in the data directory, so that
 * `echo 4 >cpu` works. Read at each start. A file that cannot be understood is an error that names
 * file, line and what is allowed; nothing is overwritten. Missing file: the default.
 */
#include "base/err.h"
#include "base/log.h"
#include "project/kind.h"

#include <stdbool.h>
#include <stdint.h>

struct settings {
	uint64_t mem;  /* bytes of RAM */
	uint64_t cpu;  /* processors */
	uint64_t disk; /* bytes of disk.img, sparse; it only ever grows */
	bool net;      /* "user" or "off" */
	uint64_t idle; /* seconds without anybody or anything to do until it suspends; 0: never */
	enum log_level loglevel; /* of the supervisor's log */
	const struct kind *guest;
};

int settings_load(int data_dir, struct settings *ret_settings, struct err *err);

/* The same for a VM that is being made: its kind is not in the directory yet. */
int settings_load_as(int data_dir, const struct kind *kind, struct settings *ret_settings,
		     struct err *err);

/* Writes `guest`, and `mem`, `cpu` and `disk` with their defaults where they are missing, so that
 * a person finds what there is to edit. */
int settings_write_missing(int data_dir, const struct kind *guest, struct err *err);

/* One setting as text, for `dxvm config`: the file's first line, or the default. */
struct setting_text {
	const char *name;
	const char *allowed; /* what it may be, for people */
	char *value;	     /* the caller's */
	bool is_default;     /* there is no file */
};

/* The i-th setting; ERR_NOT_FOUND past the last. A file that is not understood is an error. */
int settings_text(int data_dir, size_t i, struct setting_text *ret_text, struct err *err);

/* The place of a setting by its name; ERR_USAGE, with the names there are, when it is none. */
int settings_find(const char *name, size_t *ret_i, struct err *err);

/* Checks and writes one setting; it takes effect at the next start. `guest` cannot be set,
 * `disk` not to less than there is. */
int settings_set(int data_dir, size_t i, const char *value, struct err *err);

/* "512M", "4G", "1073741824"; K, M, G, T are powers of 1024, an "iB" or "B" may follow.
 * False: not a size. */
bool settings_parse_size(const char *text, uint64_t *ret_bytes);
