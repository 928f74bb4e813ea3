#pragma once
/*
 * The programs of this dxvm for a guest that has those of another one on its disk: offered whenever
 * the guest is ready, sent if it wants them, used there from the next start on. What comes of it
 * stands in the log; a guest whose programs stay what they are works on.
 */
#include "wire/mux.h"

/* Offers them one after the other. It lives as long as it takes, at most as long as the link. */
void update_offer(struct mux *agent);
