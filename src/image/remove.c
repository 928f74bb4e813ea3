#include "image/remove.h"

#include "image/cancel.h"
#include "image/child.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>

int remove_tree(const char *path, struct err *err)
{
	const char *const arguments[] = {"rm", "-rf", "--one-file-system", "--", path, NULL};
	struct child child = {.arguments = arguments, .log_fd = -1, .must_finish = true};

	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	return child_run(&child, err);
}
