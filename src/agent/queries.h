#pragma once
/*
 * What a program asks its terminal: where the cursor is, what it can do, which colours it has. The
 * answers come as input. Shown again to another terminal, old questions would be answered again,
 * and the answers typed into whatever reads now.
 *
 * Questions: CSI with the final bytes c, n, t, x; CSI $ p, > q, ? u; ESC Z; OSC with a "?" for a
 * value; DCS + q and $ q (ECMA-48; xterm's ctlseqs; kitty's keyboard protocol).
 */
#include "agent/ring.h"

/* Overwrites the questions from this position on with NUL, which terminals skip. One that is not
 * complete yet stays. */
void queries_silence(struct ring *ring, uint64_t from);
