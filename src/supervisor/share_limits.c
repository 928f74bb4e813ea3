#include "supervisor/share_limits.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"

#include <fcntl.h>
#include <sys/resource.h>

#define FILES_WANTED   16384
#define FILES_SPARE    64ul /* for all but the files of the guest */
#define WATCHES_UNTOLD 8192 /* of the user's, when the host does not say */
#define NODES_LEAST    65536u
#define TEXT_MAX       32

void share_limits_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= FILES_WANTED)
		return;
	limit.rlim_cur = limit.rlim_max < FILES_WANTED ? limit.rlim_max : FILES_WANTED;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t files_allowed(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur <= 2 * FILES_SPARE)
		return FILES_SPARE;
	return smaller(limit.rlim_cur, FILES_WANTED) - FILES_SPARE;
}

/* inotify's, of all processes of the user. */
static size_t watches_allowed(void)
{
	struct err ignored = ERR_INIT;
	auto_free char *text = NULL;
	const char *at;
	uint64_t count;

	if (file_read(AT_FDCWD, "/proc/sys/fs/inotify/max_user_watches", TEXT_MAX, &text, NULL,
		      &ignored) < 0)
		return WATCHES_UNTOLD;
	at = text;
	return number_take(&at, 10, SIZE_MAX, &count) ? count : WATCHES_UNTOLD;
}

void share_limits_set(struct share_config *config, size_t count)
{
	size_t files = files_allowed() / count;
	size_t nodes = SHARE_NODES_MAX / count;

	/* Those of files without a name are never closed early: they must not take all. */
	config->pinned_max = smaller(files / 3, SHARE_PINNED_MAX);
	config->files_max = smaller(files - config->pinned_max, SHARE_FILES_MAX);
	/* The user's other programs want some, too. */
	config->watches_max = smaller(watches_allowed() / 2 / count + 1, SHARE_WATCHES_MAX);
	config->nodes_max = nodes > NODES_LEAST ? nodes : NODES_LEAST;
}
