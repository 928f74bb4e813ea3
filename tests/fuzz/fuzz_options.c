/*
 * A command line: words end in NUL. Options are read as cli/ does it; every value points into the
 * words, and reading ends within them.
 */
#include "base/mem.h"
#include "cli/options.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct option first[] = {
    {.name = "config", .letter = 'c', .argument = "PATH"},
    {.name = "datadir", .argument = "DIR"},
    {.name = "help", .letter = 'h'},
    {0},
};
static const struct option second[] = {
    {.name = "force", .letter = 'f'},
    {.name = "guest", .argument = "KIND"},
    {0},
};

static void check_value(const char *value, const char *text, size_t size)
{
	assert(value && (strcmp(value, "true") == 0 || strcmp(value, "false") == 0 ||
			 (value >= text && value <= text + size)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct option *const tables[] = {first, second, NULL};
	auto_free char *text = xmalloc(size + 1);
	char *words[WORDS_MAX + 1] = {NULL};
	struct options options = {0};
	struct err err = ERR_INIT;
	bool ended = false;
	int count = 0;
	int index = 0;

	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	for (char *word = text; word < text + size && count < WORDS_MAX; word += strlen(word) + 1)
		words[count++] = word;
	if (options_parse(&options, tables, words, &index, &ended, &err) < 0) {
		assert(err.code == ERR_USAGE && err.text[0]);
		return 0;
	}
	assert(index >= 0 && index <= count);
	assert(options.count <= OPTIONS_MAX);
	for (size_t i = 0; i < options.count; i++)
		check_value(options.given[i].value, text, size);
	return 0;
}
