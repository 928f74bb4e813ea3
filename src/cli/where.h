#pragma once
/* Where in the project the user stands, so that the guest's command runs in the same place. */
#include "project/project.h"

/* The current directory relative to the project's, "" when it is that or not inside. The caller's.
 */
char *where_in_project(const struct project *project);
