#pragma once
/*
 * The guest's serial console into a file of bounded size. A guest can print without end, so QEMU
 * gets a socket, not the file, and what passes CONSOLE_MAX drops the older half. Errors in writing
 * (a full disk) lose console text and nothing else.
 */
#include "base/err.h"

#include <uv.h>

#define CONSOLE_MAX ((off_t)1 << 20)

struct console;

/* Takes port_fd (the other end of what QEMU has), also on failure; duplicates file_fd, which must
 * be open for reading and writing and may be -1. */
int console_start(uv_loop_t *loop, int port_fd, int file_fd, struct console **ret_console,
		  struct err *err);

/* Hands on what comes, too; and keeps CONSOLE_MAX_LISTENED of it: somebody wants to know how
 * something went. */
#define CONSOLE_MAX_LISTENED ((off_t)64 << 20)
void console_listen(struct console *console,
		    void (*heard)(void *ctx, const void *bytes, size_t length), void *ctx);

/* A line or two for the guest to read. ERR_BUSY when it takes nothing. */
int console_type(struct console *console, const char *text, struct err *err);

/* Reads what is still in the port, at most a few hundred KiB: for after the machine's end. */
void console_drain(struct console *console);

/* The line of a Linux kernel's panic if one went by, escaped; "" if not. The console's. */
const char *console_panic(const struct console *console);

void console_free(struct console *console); /* NULL is fine */
