/*
 * The guest's end of the share port, alone: share_guest PORT-FD NUMBER DIRECTORY [ro]. Mounts the
 * share on this host with the agent's own pump and stays until its standard input is closed.
 */
#include "agent/share_pump.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct share_pump *pump;
	char c;

	if (argc < 4)
		return 2;
	log_to(STDERR_FILENO, LOG_DEBUG, 0);
	pump = share_pump_start(atoi(argv[1]), &err);
	if (!pump || share_pump_mount(pump, (uint32_t)atoi(argv[2]), argv[3],
				      argc > 4 && strcmp(argv[4], "ro") == 0, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	(void)puts("mounted");
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		continue;
	return umount2(argv[3], MNT_DETACH) < 0;
}
