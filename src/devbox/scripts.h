#pragma once
/*
 * The files in .devbox/gen/scripts: the init hook, which shells and scripts source, and a file for
 * each script of devbox.json, as devbox writes them. Files that are as they should be are left.
 */
#include "devbox/project.h"

#define SCRIPTS_HOOK	".hooks"
#define SCRIPTS_COMMAND ".cmd" /* runs $DEVBOX_RUN_CMD */

int scripts_write(const struct project *project, struct err *err);

/* The file of a script. The caller's. */
char *scripts_path(const struct project *project, const char *name);
