/*
 * Theory of operation. Each turn the watches with events become the array for poll; afterwards each
 * is called if it is still in the loop (a callback may have removed it: removing clears the `link`,
 * and the memory may be gone). To know that without touching freed memory, a turn moves the
 * watches it still has to serve to a list of its own: a removed watch is simply no longer on it.
 * Every ready watch gets exactly one call a turn, so that none starves the others.
 */
#include "agent/loop.h"

#include "base/mem.h"

#include <errno.h>
#include <time.h>

#define MS_PER_S  1000u
#define NS_PER_MS 1000000

struct loop {
	struct list watches;
	struct list timers;
	struct pollfd *fds; /* scratch for poll */
	size_t fds_max;
	bool stopped;
	void (*turn_end)(void *ctx);
	void *turn_ctx;
	struct loop_watch signals; /* fd -1: none taken */
	void (*arrived)(void *ctx, const struct signalfd_siginfo *info);
	void *signal_ctx;
};

static uint64_t now_ms(void)
{
	struct timespec now = {.tv_sec = 0};

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * MS_PER_S + (uint64_t)(now.tv_nsec / NS_PER_MS);
}

struct loop *loop_new(void)
{
	struct loop *loop = xcalloc(1, sizeof(*loop));

	list_init(&loop->watches);
	list_init(&loop->timers);
	loop_watch_init(&loop->signals);
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	if (loop->signals.fd >= 0)
		(void)close(loop->signals.fd);
	free(loop->fds);
	free(loop);
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

void loop_set_turn_end(struct loop *loop, void (*turn_end)(void *ctx), void *ctx)
{
	loop->turn_end = turn_end;
	loop->turn_ctx = ctx;
}

void loop_watch_init(struct loop_watch *watch)
{
	*watch = (struct loop_watch){.fd = -1};
	list_init(&watch->link);
}

void loop_watch_add(struct loop *loop, struct loop_watch *watch)
{
	list_append(&loop->watches, &watch->link);
}

void loop_watch_remove(struct loop_watch *watch)
{
	list_remove(&watch->link);
}

void loop_timer_init(struct loop_timer *timer)
{
	*timer = (struct loop_timer){.due_ms = 0};
	list_init(&timer->link);
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t delay_ms)
{
	list_remove(&timer->link);
	timer->due_ms = now_ms() + delay_ms;
	list_append(&loop->timers, &timer->link);
}

void loop_timer_stop(struct loop_timer *timer)
{
	list_remove(&timer->link);
}

static void fire_timers(struct loop *loop)
{
	uint64_t now = now_ms();
	struct list due;

	list_init(&due);
	list_each(link, tmp, &loop->timers) {
		if (list_entry(link, struct loop_timer, link)->due_ms <= now) {
			list_remove(link);
			list_append(&due, link);
		}
	}
	while (!list_empty(&due)) {
		struct loop_timer *timer = list_entry(due.next, struct loop_timer, link);

		list_remove(&timer->link);
		timer->fire(timer);
	}
}

/* How long poll may sleep: milliseconds, -1 for ever. */
static int until_next_timer(const struct loop *loop)
{
	uint64_t now = now_ms();
	uint64_t next = UINT64_MAX;

	list_each(link, tmp, &loop->timers) {
		uint64_t at = list_entry(link, struct loop_timer, link)->due_ms;

		next = at < next ? at : next;
	}
	if (next == UINT64_MAX)
		return -1;
	next = next > now ? next - now : 0;
	return next > INT32_MAX ? INT32_MAX : (int)next;
}

static size_t fill_pollfds(struct loop *loop)
{
	size_t count = 0;

	list_each(link, tmp, &loop->watches) {
		const struct loop_watch *watch = list_entry(link, struct loop_watch, link);

		if (watch->events == 0)
			continue;
		if (count == loop->fds_max) {
			loop->fds_max = loop->fds_max ? 2 * loop->fds_max : 16;
			loop->fds = xrealloc(loop->fds, loop->fds_max * sizeof(*loop->fds));
		}
		loop->fds[count++] = (struct pollfd){.fd = watch->fd, .events = watch->events};
	}
	return count;
}

/* The watches that were polled are the first `count` with events, in order. */
static void serve(struct loop *loop, size_t count)
{
	struct list waiting;
	size_t i = 0;

	list_init(&waiting);
	list_each(link, tmp, &loop->watches) {
		struct loop_watch *watch = list_entry(link, struct loop_watch, link);

		if (i == count || watch->events == 0)
			continue;
		watch->revents = loop->fds[i++].revents;
		if (watch->revents != 0) {
			list_remove(link);
			list_append(&waiting, link);
		}
	}
	while (!list_empty(&waiting)) {
		struct loop_watch *watch = list_entry(waiting.next, struct loop_watch, link);

		/* To the end of the queue: who was served now is looked at last next time. */
		list_remove(&watch->link);
		list_append(&loop->watches, &watch->link);
		watch->ready(watch, watch->revents);
	}
}

int loop_run(struct loop *loop, struct err *err)
{
	loop->stopped = false;
	while (!loop->stopped) {
		size_t count;
		int ready;

		fire_timers(loop);
		if (loop->turn_end)
			loop->turn_end(loop->turn_ctx);
		if (loop->stopped)
			break;
		count = fill_pollfds(loop);
		ready = poll(loop->fds, (nfds_t)count, until_next_timer(loop));
		if (ready < 0 && errno != EINTR)
			return err_sys(err, "poll");
		if (ready > 0)
			serve(loop, count);
	}
	return 0;
}

static void on_signalfd(struct loop_watch *watch, short revents)
{
	struct loop *loop = list_entry(watch, struct loop, signals);
	struct signalfd_siginfo info;

	(void)revents;
	while (read(watch->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		loop->arrived(loop->signal_ctx, &info);
}

int loop_take_signals(struct loop *loop, const sigset_t *set,
		      void (*arrived)(void *ctx, const struct signalfd_siginfo *info), void *ctx,
		      struct err *err)
{
	if (sigprocmask(SIG_BLOCK, set, NULL) < 0)
		return err_sys(err, "block signals");
	loop->signals.fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (loop->signals.fd < 0)
		return err_sys(err, "signalfd");
	loop->signals.events = POLLIN;
	loop->signals.ready = on_signalfd;
	loop->arrived = arrived;
	loop->signal_ctx = ctx;
	loop_watch_add(loop, &loop->signals);
	return 0;
}
