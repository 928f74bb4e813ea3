#pragma once
/*
 * The guest's network as QEMU's user network wants it: fixed addresses, no DHCP.
 */
#include "base/err.h"

int net_loopback(struct err *err);
/* eth0 with 10.0.2.15/24, the gateway 10.0.2.2, and the resolver 10.0.2.3 in /etc/resolv.conf. */
int net_user_network(struct err *err);
