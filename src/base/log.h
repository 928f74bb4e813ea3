#pragma once
/*
 * The log of a process: one line "2026-01-02T03:04:05.678Z level room: text" per entry, control
 * characters escaped, to one file descriptor. Only processes log (main, supervisor, agent); rooms
 * below them return errors. Before log_to everything goes nowhere. Not for use by several threads
 * at once with different settings; a line is one write.
 */
#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG,
};

/* Writes to fd from now on (-1: nowhere). The fd stays the caller's. `cap` bounds the size of the
 * file: past it the older half is dropped, for which the fd must be open for reading and writing
 * (0: no bound, and the fd need not be a regular file). */
void log_to(int fd, enum log_level most, off_t cap);

/* "error", "warning", "info", "debug"; false: none of these. */
bool log_level_parse(const char *name, enum log_level *ret_level);

/* Where it writes to now, for a child that shall write there as well; -1: nowhere. */
int log_fd(void);

void log_line(enum log_level level, const char *room, const char *format, ...) PRINTF_LIKE(3, 4);

#define log_error(room, ...) log_line(LOG_ERROR, room, __VA_ARGS__)
#define log_warn(room, ...)  log_line(LOG_WARN, room, __VA_ARGS__)
#define log_info(room, ...)  log_line(LOG_INFO, room, __VA_ARGS__)
#define log_debug(room, ...) log_line(LOG_DEBUG, room, __VA_ARGS__)
