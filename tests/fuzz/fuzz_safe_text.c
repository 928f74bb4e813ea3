/* Text of a stranger: what comes out is harmless, bounded, and does not change any more. */
#include "base/mem.h"
#include "base/safe_text.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *line = safe_text(data, size, SAFE_TEXT_LINE);
	auto_free char *again = safe_text(line, strlen(line), SAFE_TEXT_LINE);
	auto_free char *text = safe_text(data, size, SAFE_TEXT_NEWLINES);

	assert(strlen(line) <= 6 * size);
	assert(strcmp(line, again) == 0);
	for (const char *p = line; *p; p++)
		assert((unsigned char)*p >= 0x20 && *p != 0x7f);
	for (const char *p = text; *p; p++)
		assert(((unsigned char)*p >= 0x20 && *p != 0x7f) || *p == '\n' || *p == '\t');
	return 0;
}
