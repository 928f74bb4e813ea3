#include "agent/agent.h"
#include "agent/init.h"
#include "agent/mounts.h"
#include "agent/options.h"
#include "agent/programs.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>

/* Descriptors 0 to 2 are for standard streams, never for a pipe or a terminal of ours. */
static void open_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

static void start_service(void)
{
	auto_close int devbox = programs_take_kept();

	programs_install(devbox);
}

int main(int argc, char **argv)
{
	struct options options;
	struct err err = ERR_INIT;

	if (options_parse(&options, argc, argv, getpid(), &err) < 0) {
		(void)fprintf(stderr, "dxvm-agent: %s\n", err.text);
		return err_exit_status(&err);
	}
	if (options.version) {
		(void)puts("dxvm-agent " DXVM_VERSION);
		return 0;
	}
	if (options.mode == AGENT_INIT)
		mounts_early();
	open_standard_streams();
	if (options.mode != AGENT_INIT)
		log_to(STDERR_FILENO, LOG_INFO, 0);
	if (options.mode == AGENT_SERVICE)
		start_service();
	else if (options.mode == AGENT_INIT && init_boot(&err) < 0)
		log_error("init", "%s", err.text);
	return agent_run(&options, err.code != ERR_NONE ? err.text : NULL);
}
