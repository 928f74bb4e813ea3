#pragma once
/*
 * Files of /etc: read whole, replaced atomically, and only when something changed, so that a second
 * boot writes nothing.
 */
#include "base/err.h"

#include <sys/types.h>

#define ETC_FILE_MAX ((size_t)1 << 20)

/* The content; "" when there is no such file. The caller's. */
int etc_read(const char *name, char **ret_text, struct err *err);

/* Makes /etc/<name> hold `text`. An existing file keeps its mode and owner, a new one gets `mode`.
 * A symbolic link of that name is replaced by a file. */
int etc_write(const char *name, const char *text, mode_t mode, struct err *err);
