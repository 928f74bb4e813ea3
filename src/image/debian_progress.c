#include "image/debian_progress.h"

#include "base/cleanup.h"
#include "image/progress.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *said;
	const char *stage;
} stages[] = {
    {"I: running apt-get update", "reading Debian's package lists"},
    {"I: downloading packages", "downloading packages"},
    {"I: extracting archives", "unpacking the base system"},
    {"I: installing essential packages", "installing the base system"},
    {"I: installing remaining packages", "installing packages"},
    {"I: cleaning package lists", "cleaning up"},
};

static bool starts_with(const char *line, const char *prefix)
{
	return strncmp(line, prefix, strlen(prefix)) == 0;
}

void debian_progress_line(void *ctx, bool is_error, const char *line)
{
	static const char mark[] = " upgraded, ";
	struct debian_progress *progress = ctx;
	const char *upgraded = strstr(line, mark);

	if (!is_error && starts_with(line, "stage ")) {
		progress_stage("%s", line + strlen("stage "));
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		if (starts_with(line, stages[i].said)) {
			progress_stage("%s", stages[i].stage);
			progress->done = 0;
			return;
		}
	}
	if (strstr(line, " newly installed, ") && upgraded) {
		/* dpkg unpacks each, then sets each up. */
		progress->done = 0;
		progress->total = 2 * strtoull(upgraded + strlen(mark), NULL, 10);
	} else if ((starts_with(line, "Unpacking ") || starts_with(line, "Setting up ")) &&
		   progress->done < progress->total) {
		progress_count(++progress->done, progress->total);
	}
}
