#pragma once
/*
 * The agent's event loop: poll(2) over a list of watches, timers, and signals by signalfd. One
 * thread. Watches and timers are embedded in whoever uses them; the loop owns none of them and may
 * be told to forget one at any time, also from inside a callback of another.
 *
 * It never wakes up by itself: without a due timer it sleeps until something happens. Times are
 * CLOCK_MONOTONIC in milliseconds, which stands still while the guest is suspended.
 */
#include "base/err.h"
#include "base/list.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/signalfd.h>

struct loop;

struct loop_watch {
	struct list link;
	int fd;
	short events;  /* POLLIN, POLLOUT; may be changed at any time; 0: not polled at all */
	short revents; /* the loop's */
	void (*ready)(struct loop_watch *watch, short revents);
};

struct loop_timer {
	struct list link;
	uint64_t due_ms;
	void (*fire)(struct loop_timer *timer);
};

struct loop *loop_new(void);
void loop_free(struct loop *loop);

/* Until loop_stop. -1 only when poll itself fails. */
int loop_run(struct loop *loop, struct err *err);
void loop_stop(struct loop *loop);

/* Called at the end of each turn, before the next poll: for output collected during the turn. */
void loop_set_turn_end(struct loop *loop, void (*turn_end)(void *ctx), void *ctx);

void loop_watch_init(struct loop_watch *watch);
void loop_watch_add(struct loop *loop, struct loop_watch *watch);
void loop_watch_remove(struct loop_watch *watch);

void loop_timer_init(struct loop_timer *timer);
void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t delay_ms);
void loop_timer_stop(struct loop_timer *timer);

/* Blocks the signals of the set and delivers them here from now on. Once in a loop's life. */
int loop_take_signals(struct loop *loop, const sigset_t *set,
		      void (*arrived)(void *ctx, const struct signalfd_siginfo *info), void *ctx,
		      struct err *err);
