#include "cli/where.h"

#include "base/mem.h"

#include <string.h>

char *where_in_project(const struct project *project)
{
	auto_free char *cwd = realpath(".", NULL);
	size_t n = strlen(project->root);

	if (!cwd || strncmp(cwd, project->root, n) != 0 || cwd[n] != '/')
		return xstrdup("");
	return xstrdup(cwd + n + 1);
}
