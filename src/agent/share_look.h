#pragma once
/*
 * When to look for the next request without sleeping. A program that works through a directory asks
 * again as soon as it has its answer; to put the thread that waits for that to sleep, and to wake it on
 * the other processor, takes longer than to look a little longer, several times over in an emulated
 * guest. So after an answer we look on, but only if the request before came that soon, too: what
 * comes now and then costs no processor time, nor does what stops. A passive object; times are of
 * one clock, in nanoseconds.
 */
#include <stdbool.h>
#include <stdint.h>

/* What Linux polls for in a guest before it halts is 200 us (guest_halt_poll_ns); of an emulated guest,
 * most requests come within this. */
#define SHARE_LOOK_NS 300000

struct share_look {
	bool soon;	      /* the last request came soon after an answer */
	uint64_t answered_ns; /* when the kernel was last given one; 0: never */
	uint64_t until_ns;
};

void share_look_asked(struct share_look *look, uint64_t now_ns);
void share_look_answered(struct share_look *look, uint64_t now_ns);
/* Whether to look on. */
bool share_look_on(const struct share_look *look, uint64_t now_ns);
