#pragma once
/* The commands of dxvm-devbox, from options to what the process becomes. */
#include "devbox/options.h"

/* The exit status of a command that ends here; -1 and an error; or it does not return. */
int environment_run(const struct options *options, struct err *err);
