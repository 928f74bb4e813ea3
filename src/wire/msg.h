#pragma once
/*
 * Reading and writing the fields of messages: big-endian integers, strings as u32 length + bytes,
 * lists as u32 count + elements. The reader never reads past its end and keeps a sticky error: read
 * all fields, then ask msg_ok once. Bytes left over after the last known field are ignored, so that
 * newer peers may add fields at the end.
 */
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct msg_reader {
	const uint8_t *at;
	size_t left;
	bool bad;
};

void msg_read_from(struct msg_reader *reader, const void *bytes, size_t length);
bool msg_ok(const struct msg_reader *reader);
uint8_t msg_read_u8(struct msg_reader *reader);
uint16_t msg_read_u16(struct msg_reader *reader);
uint32_t msg_read_u32(struct msg_reader *reader);
uint64_t msg_read_u64(struct msg_reader *reader);
/* A new NUL-terminated string without NUL inside and at most `max` bytes, the caller's; NULL (and
 * the sticky error) otherwise. */
char *msg_read_string(struct msg_reader *reader, size_t max);
/* Exactly `length` bytes. */
void msg_read_bytes(struct msg_reader *reader, void *ret_bytes, size_t length);
/* A NULL-terminated vector of strings, one allocation each, freed by msg_free_strings. At most
 * max_count strings of at most max bytes. NULL (and the sticky error) otherwise. */
char **msg_read_strings(struct msg_reader *reader, size_t max_count, size_t max);
void msg_free_strings(char **strings);

/* Writers append to a buf; 0, or -1 when its ceiling would be passed. */
int msg_write_u8(struct buf *buf, uint8_t value);
int msg_write_u16(struct buf *buf, uint16_t value);
int msg_write_u32(struct buf *buf, uint32_t value);
int msg_write_u64(struct buf *buf, uint64_t value);
int msg_write_string(struct buf *buf, const char *s); /* NULL is written as "" */
int msg_write_strings(struct buf *buf, char *const *strings);
