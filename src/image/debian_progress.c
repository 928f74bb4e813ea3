#include "image/debian_progress.h"

#include "base/cleanup.h"
#include "image/progress.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *said;
	const char *stage;
	uint64_t steps; /* for each package, of: fetched, unpacked, set up */
} stages[] = {
    {"I: running apt-get update", "reading Debian's package lists", 0},
    {"I: downloading packages", "downloading packages", 1},
    {"I: extracting archives", "unpacking the base system", 0},
    {"I: installing essential packages", "installing the base system", 2},
    {"I: installing remaining packages", "installing packages", 3},
    {"I: cleaning package lists", "cleaning up", 0},
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
			progress->steps = stages[i].steps;
			progress->done = 0;
			return;
		}
	}
	if (strstr(line, " newly installed, ") && upgraded) {
		progress->packages = strtoull(upgraded + strlen(mark), NULL, 10);
		progress->done = 0;
	} else if ((starts_with(line, "Get:") || starts_with(line, "Unpacking ") ||
		    starts_with(line, "Setting up ")) &&
		   progress->done < progress->packages * progress->steps) {
		progress_count(++progress->done, progress->packages * progress->steps);
	}
}
