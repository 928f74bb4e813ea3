/*
 * One program, four ways to run it: what a person types, and the three processes that dxvm
 * starts for itself. This file alone knows both the command line and the supervisor.
 */
#include "base/file.h"
#include "cli/cli.h"
#include "project/live.h"
#include "supervisor/installer.h"
#include "supervisor/share_link.h"
#include "supervisor/share_server.h"
#include "supervisor/supervisor.h"

#include <string.h>

int main(int argc, char **argv)
{
	file_fill_standard();
	if (argc > 1 && strcmp(argv[1], LIVE_COMMAND) == 0)
		return supervisor_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], SHARE_SERVER_COMMAND) == 0)
		return share_server_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], LIVE_INSTALL_COMMAND) == 0)
		return installer_main(argc - 1, argv + 1);
	return cli_main(argc, argv);
}
