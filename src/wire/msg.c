#include "wire/msg.h"

#include "base/mem.h"

#include <string.h>

void msg_read_from(struct msg_reader *reader, const void *bytes, size_t length)
{
	/* Never NULL: even adding nothing to it is undefined. */
	*reader = (struct msg_reader){.at = bytes ? bytes : (const void *)"", .left = length};
}

bool msg_ok(const struct msg_reader *reader)
{
	return !reader->bad;
}

/* The next `length` bytes, or NULL and the sticky error. */
static const uint8_t *take(struct msg_reader *reader, size_t length)
{
	const uint8_t *at = reader->at;

	if (reader->bad || length > reader->left) {
		reader->bad = true;
		return NULL;
	}
	reader->at += length;
	reader->left -= length;
	return at;
}

static uint64_t read_integer(struct msg_reader *reader, size_t size)
{
	const uint8_t *at = take(reader, size);
	uint64_t value = 0;

	for (size_t i = 0; at && i < size; i++)
		value = value << 8 | at[i];
	return value;
}

uint8_t msg_read_u8(struct msg_reader *reader)
{
	return (uint8_t)read_integer(reader, 1);
}

uint16_t msg_read_u16(struct msg_reader *reader)
{
	return (uint16_t)read_integer(reader, 2);
}

uint32_t msg_read_u32(struct msg_reader *reader)
{
	return (uint32_t)read_integer(reader, 4);
}

uint64_t msg_read_u64(struct msg_reader *reader)
{
	return read_integer(reader, 8);
}

char *msg_read_string(struct msg_reader *reader, size_t max)
{
	uint32_t length = msg_read_u32(reader);
	const uint8_t *at;
	char *string;

	if (length > max)
		reader->bad = true;
	at = take(reader, length);
	if (!at)
		return NULL;
	if (length > 0 && memchr(at, '\0', length)) {
		reader->bad = true;
		return NULL;
	}
	string = xmalloc((size_t)length + 1);
	if (length > 0)
		memcpy(string, at, length);
	string[length] = '\0';
	return string;
}

void msg_read_bytes(struct msg_reader *reader, void *ret_bytes, size_t length)
{
	const uint8_t *at = take(reader, length);

	if (at && length > 0)
		memcpy(ret_bytes, at, length);
}

char **msg_read_strings(struct msg_reader *reader, size_t max_count, size_t max)
{
	uint32_t count = msg_read_u32(reader);
	char **strings;

	/* Each string takes four bytes at least: a count is bounded by what really is there before
	 * anything is allocated for it. */
	if (count > max_count || count > reader->left / 4)
		reader->bad = true;
	if (reader->bad)
		return NULL;
	strings = xcalloc((size_t)count + 1, sizeof(*strings));
	for (uint32_t i = 0; i < count; i++) {
		strings[i] = msg_read_string(reader, max);
		if (!strings[i]) {
			msg_free_strings(strings);
			return NULL;
		}
	}
	return strings;
}

void msg_free_strings(char **strings)
{
	if (!strings)
		return;
	for (char **string = strings; *string; string++)
		free(*string);
	free(strings);
}

static int write_integer(struct buf *buf, uint64_t value, size_t size)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
	return buf_append(buf, bytes, size);
}

int msg_write_u8(struct buf *buf, uint8_t value)
{
	return write_integer(buf, value, 1);
}

int msg_write_u16(struct buf *buf, uint16_t value)
{
	return write_integer(buf, value, 2);
}

int msg_write_u32(struct buf *buf, uint32_t value)
{
	return write_integer(buf, value, 4);
}

int msg_write_u64(struct buf *buf, uint64_t value)
{
	return write_integer(buf, value, 8);
}

int msg_write_string(struct buf *buf, const char *s)
{
	size_t length = s ? strlen(s) : 0;

	if (length > UINT32_MAX || buf_room(buf) < 4 || buf_room(buf) - 4 < length)
		return -1;
	if (msg_write_u32(buf, (uint32_t)length) < 0)
		return -1;
	return buf_append(buf, s, length);
}

int msg_write_strings(struct buf *buf, char *const *strings)
{
	uint32_t count = 0;

	while (strings && strings[count])
		count++;
	if (msg_write_u32(buf, count) < 0)
		return -1;
	for (uint32_t i = 0; i < count; i++) {
		if (msg_write_string(buf, strings[i]) < 0)
			return -1;
	}
	return 0;
}
