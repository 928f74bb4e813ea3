#pragma once
/* What of the host's limits the shares of one server may use, all together. */
#include "share/share.h"

/* Raises the limit of descriptors as far as wanted and allowed. */
void share_limits_raise(void);

/* A share's part, where there are `count`: files_max, pinned_max, watches_max, nodes_max. */
void share_limits_set(struct share_config *config, size_t count);
