#pragma once
/*
 * Allocation that cannot fail: out of memory aborts the program. That is sound only because every
 * size a peer, a file or a user controls is bounded before it gets here.
 */
#include "base/cleanup.h"

#include <stdarg.h>
#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
void *xmemdup(const void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t max);
char *xasprintf(const char *format, ...) PRINTF_LIKE(1, 2);
char *xvasprintf(const char *format, va_list ap) PRINTF_LIKE(1, 0);
