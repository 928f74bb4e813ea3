/*
 * What is typed into a shell, in pieces of every size (the first byte): nothing is invented,
 * nothing but escapes is lost, and the buffer given is never outgrown.
 */
#include "base/mem.h"
#include "cli/escape.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct escape escape;
	size_t piece;
	size_t sent = 0;

	if (size < 2)
		return 0;
	piece = (size_t)data[0] + 1;
	data++;
	size--;
	escape_init(&escape);
	auto_free char *all = xmalloc(2 * size + 1);
	for (size_t at = 0; at < size;) {
		size_t length = size - at < piece ? size - at : piece;
		auto_free char *out = xmalloc(length + 1);
		size_t used = 0;
		size_t made = 0;
		enum escape_action action =
		    escape_feed(&escape, (const char *)data + at, length, &used, out, &made);

		assert(used <= length && made <= length + 1);
		assert(action != ESCAPE_NONE || used == length);
		assert(used > 0);
		memcpy(all + sent, out, made);
		sent += made;
		at += used;
	}
	assert(sent <= size + 1);
	if (!memchr(data, '~', size))
		assert(sent == size && memcmp(all, data, size) == 0);
	return 0;
}
