#pragma once
/*
 * What the agent says of itself when a link opens: version, how long the guest has been up, and a
 * nonce made once and kept only in RAM. The same nonce again proves that this is the same life of
 * the guest, suspended and resumed or not.
 */
#include "wire/mux.h"

void hello_make(struct mux_hello *ret_hello);
/* For a link that opens again: the uptime tells its HELLO from the one before. */
void hello_renew(struct mux_hello *hello);
