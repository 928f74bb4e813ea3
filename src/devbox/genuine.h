#pragma once
/*
 * devbox itself, where the guest has it and it works.
 */
#include "devbox/options.h"

/* Becomes devbox for this verb, in the project of that root. Returns, having said why in a line,
 * where there is a devbox that cannot do it; and without a word where there is none. */
void genuine_become(const struct options *options, const char *root);
