#pragma once
/*
 * The orderly end: sessions are told, then everybody, then those who did not listen are killed;
 * then, as PID 1, all file systems are unmounted or read-only, so that the disk needs no repair.
 * Every step is bounded. What follows (the answer, switching off) is the caller's.
 */
#include "agent/options.h"
#include "agent/session.h"

struct shutdown;

/* `done` is called once, from the loop. */
struct shutdown *shutdown_start(struct loop *loop, struct sessions *sessions, enum agent_mode mode,
				void (*done)(void *ctx), void *ctx);
void shutdown_free(struct shutdown *shutdown);

/* There is no child process left. May be called at any time and again. */
void shutdown_alone(struct shutdown *shutdown);

/* Switches the machine off; does not return where that is possible. */
void shutdown_power_off(void);
