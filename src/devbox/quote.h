#pragma once
/* Text for a shell to read. Appended to a buf; -1 when it has no room. */
#include "base/buf.h"
#include "devbox/vars.h"

#include <stdbool.h>

/* 'text', taken as it is. */
int quote_single(struct buf *buf, const char *text);

/* 'text' for fish, whose single quotes know \\ and \'. */
int quote_single_fish(struct buf *buf, const char *text);

/* "text", where $ and ` are still the shell's: as devbox passes arguments on, so that
 * `run -- echo '$NAME'` sees the project's NAME. */
int quote_double(struct buf *buf, const char *text);

/* A line `export NAME="value";` for each variable that a shell can have. fish has the word export too,
 * but no backslash before a backquote. */
int quote_exports(struct buf *buf, const struct vars *vars, bool for_fish);
