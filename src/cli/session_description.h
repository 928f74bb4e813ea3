#pragma once
/* What the channel of a session is opened with. */
#include "base/buf.h"
#include "cli/session.h"

/* Appended to a buf that takes PROTO_OPEN_MAX; the size is that of our terminal. */
int session_description(const struct session_options *options, struct buf *buf,
			enum proto_kind *ret_kind, struct err *err);
