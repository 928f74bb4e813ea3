#pragma once
/* Who is at the other end of a unix socket. The one place that asks the system. */
#include <stdbool.h>

/* Whether the peer runs as our user (root counts as everybody). */
bool peer_is_us(int fd);
