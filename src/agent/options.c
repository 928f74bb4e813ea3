#include "agent/options.h"

#include "agent/programs.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static int parse_fd(const char *name, const char *text, int *ret_fd, struct err *err)
{
	char *end;
	long value;

	errno = 0;
	value = text ? strtol(text, &end, 10) : -1;
	if (!text || *text == '\0' || *end != '\0' || errno != 0 || value < 0 || value > INT_MAX)
		return err_set(err, ERR_USAGE, "%s wants the number of an open descriptor, not %s",
			       name, text ? text : "nothing");
	*ret_fd = (int)value;
	return 0;
}

int options_parse(struct options *ret_options, int argc, char **argv, int pid, struct err *err)
{
	struct options options = {.mode = AGENT_SERVICE, .link_fd = -1, .share_fd = -1};

	if (pid == 1) {
		options.mode = AGENT_INIT;
		*ret_options = options;
		return 0;
	}
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "--fake") == 0) {
			options.mode = AGENT_FAKE;
		} else if (strcmp(argv[i], "--version") == 0) {
			options.version = true;
		} else if (strcmp(argv[i], "--link-fd") == 0) {
			if (parse_fd(argv[i++], value, &options.link_fd, err) < 0)
				return -1;
		} else if (strcmp(argv[i], "--share-fd") == 0) {
			if (parse_fd(argv[i++], value, &options.share_fd, err) < 0)
				return -1;
		} else if (strcmp(argv[i], "--project") == 0 && value) {
			options.project = argv[++i];
		} else if (strcmp(argv[i], "--programs") == 0 && value) {
			options.programs = argv[++i];
		} else {
			return err_set(err, ERR_USAGE,
				       "unknown argument %s; usage: dxvm-agent [--fake] "
				       "[--link-fd N] [--share-fd N] [--project DIR] "
				       "[--programs DIR] [--version]",
				       argv[i]);
		}
	}
	if (options.mode == AGENT_FAKE && options.link_fd < 0 && !options.version)
		return err_set(err, ERR_USAGE, "--fake needs --link-fd");
	if (options.mode == AGENT_SERVICE && !options.programs)
		options.programs = PROGRAMS_KEPT;
	*ret_options = options;
	return 0;
}
