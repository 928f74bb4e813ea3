#include "base/buf.h"

#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Storage up to this size survives an empty queue, and larger one if a good part of it was needed:
 * fresh memory costs a page fault every 4 KiB, dear in an emulated guest. */
#define KEEP_WHEN_EMPTY 4096
#define GOOD_PART	4

void buf_init(struct buf *buf, size_t max)
{
	*buf = (struct buf){.max = max};
}

void buf_done(struct buf *buf)
{
	free(buf->bytes);
	*buf = (struct buf){.max = buf->max};
}

const uint8_t *buf_data(const struct buf *buf)
{
	return buf->bytes ? buf->bytes + buf->start : (const uint8_t *)"";
}

uint8_t *buf_reserve(struct buf *buf, size_t length)
{
	if (length > buf_room(buf))
		return NULL;
	if (!buf->bytes || buf->start + buf->length + length > buf->capacity) {
		size_t need = buf->length + length;

		/* Slide down where that gains enough to be worth its cost, else grow by doubling.
		 */
		if (buf->bytes && (need + need / 2 <= buf->capacity ||
				   (need <= buf->capacity && buf->start >= buf->capacity / 2))) {
			memmove(buf->bytes, buf->bytes + buf->start, buf->length);
		} else {
			size_t capacity = buf->capacity ? buf->capacity : 256;
			uint8_t *bytes;

			/* Room for half as much again, so that a nearly full queue is not copied
			 * at every append. */
			while (capacity < need + need / 2)
				capacity *= 2;
			bytes = xmalloc(capacity);
			if (buf->bytes)
				memcpy(bytes, buf->bytes + buf->start, buf->length);
			free(buf->bytes);
			buf->bytes = bytes;
			buf->capacity = capacity;
		}
		buf->start = 0;
	}
	return buf->bytes + buf->start + buf->length;
}

void buf_commit(struct buf *buf, size_t length)
{
	assert(buf->start + buf->length + length <= buf->capacity);
	buf->length += length;
	if (buf->peak < buf->length)
		buf->peak = buf->length;
}

int buf_append(struct buf *buf, const void *data, size_t length)
{
	uint8_t *end;

	if (length == 0)
		return 0;
	end = buf_reserve(buf, length);
	if (!end)
		return -1;
	memcpy(end, data, length);
	buf_commit(buf, length);
	return 0;
}

int buf_append_string(struct buf *buf, const char *s)
{
	return buf_append(buf, s, strlen(s));
}

int buf_printf(struct buf *buf, const char *format, ...)
{
	auto_free char *text = NULL;
	va_list ap;

	va_start(ap, format);
	text = xvasprintf(format, ap);
	va_end(ap);
	return buf_append_string(buf, text);
}

void buf_consume(struct buf *buf, size_t length)
{
	if (length < buf->length) {
		buf->start += length;
		buf->length -= length;
	} else {
		buf_clear(buf);
	}
}

void buf_clear(struct buf *buf)
{
	buf->start = 0;
	buf->length = 0;
	if (buf->capacity > KEEP_WHEN_EMPTY && buf->peak < buf->capacity / GOOD_PART)
		buf_done(buf);
	buf->peak = 0;
}

char *buf_take_string(struct buf *buf)
{
	char *text = xmalloc(buf->length + 1);

	if (buf->length)
		memcpy(text, buf_data(buf), buf->length);
	text[buf->length] = '\0';
	buf_done(buf);
	return text;
}
