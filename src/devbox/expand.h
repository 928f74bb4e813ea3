#pragma once
/*
 * $NAME and ${NAME} in the values of devbox.json's env, by the rules of Go's os.Expand: names of
 * letters, digits and '_'; one of * # $ @ ! ? - 0..9 is a name by itself; "${}" and "${" without
 * its brace vanish; a '$' before anything else stays. Devbox expands once against what plugins set
 * and once against the environment; without plugins the two come to one.
 */
#include "base/buf.h"
#include "base/err.h"
#include "devbox/vars.h"

#define EXPAND_MAX ((size_t)1 << 20)

/* PWD is the project's directory; a variable that is not set is empty. *ret_text is the caller's.
 * ERR_INVALID when it would be longer than EXPAND_MAX. */
int expand(const char *text, const struct vars *vars, const char *project, char **ret_text,
	   struct err *err);
