#pragma once
/*
 * A growing byte buffer with a ceiling, also usable as a queue: append at the end, drop from the
 * front. Made with its maximum, so that no peer can make it grow without bound: an append that
 * would pass the ceiling changes nothing and returns -1. The storage belongs to the buf; buf_done
 * frees it.
 */
#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *bytes; /* storage; the content starts at bytes + start */
	size_t start;
	size_t length; /* of the content */
	size_t capacity;
	size_t max;  /* ceiling for length */
	size_t peak; /* most content since it was empty last */
};

void buf_init(struct buf *buf, size_t max);
void buf_done(struct buf *buf);
#define auto_buf CLEANUP(buf_done)

/* The content; valid until the next append. Never NULL. */
const uint8_t *buf_data(const struct buf *buf);
static inline size_t buf_length(const struct buf *buf)
{
	return buf->length;
}
static inline size_t buf_room(const struct buf *buf)
{
	return buf->max - buf->length;
}

/* 0, or -1 when the ceiling would be passed (nothing is appended then). */
int buf_append(struct buf *buf, const void *data, size_t length);
int buf_append_string(struct buf *buf, const char *s); /* without its NUL */
int buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);

/* Space for `length` more bytes at the end, to be filled by the caller and then made content with
 * buf_commit. NULL when the ceiling would be passed. */
uint8_t *buf_reserve(struct buf *buf, size_t length);
void buf_commit(struct buf *buf, size_t length);

/* Drops `length` bytes from the front (at most what is there). Storage is kept for a queue that
 * fills again and again, and given back when the buffer is emptied after it needed little of it. */
void buf_consume(struct buf *buf, size_t length);
void buf_clear(struct buf *buf);

/* The content as a NUL-terminated string, now the caller's; the buf is empty afterwards. */
char *buf_take_string(struct buf *buf);
