/*
 * The console of an installer, in pieces of every size (the first byte), with time passing between
 * them: nothing is written outside, the command is typed once and only after an answer, the end is
 * an end.
 */
#include "guest/console_script.h"

#include <assert.h>
#include <string.h>

#define ANSWER "DXVM-SHELL-42"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char command[] = "COMMAND\n";
	struct console_script script;
	uint64_t now = 0;
	unsigned typed = 0;

	if (size < 2)
		return 0;
	size_t piece = (size_t)data[0] % 64 + 1;
	uint64_t pause = (uint64_t)(data[0] >> 6) * 700;

	data++;
	size--;
	console_script_init(&script, command, now);
	for (size_t at = 0; at < size; at += piece) {
		enum console_phase before = script.phase;
		size_t length = size - at < piece ? size - at : piece;
		uint64_t wait = 0;
		const char *text;

		console_script_feed(&script, data + at, length, now);
		assert(script.phase >= before);
		assert(script.line_length < sizeof(script.line));
		now += pause;
		text = console_script_next(&script, now, &wait);
		assert(wait > 0);
		if (text == command)
			typed++;
		for (size_t i = 0; i <= CONSOLE_SCRIPT_LINES; i++) {
			const char *line = console_script_line(&script, i);

			assert(!line || strlen(line) < CONSOLE_SCRIPT_LINE);
		}
	}
	assert(typed <= 1);
	assert(typed == 0 || script.asked > 0);
	assert(strlen(script.step) < sizeof(script.step));
	assert(script.phase != CONSOLE_ENDED || (script.status >= 0 && script.status <= 255));
	return 0;
}
