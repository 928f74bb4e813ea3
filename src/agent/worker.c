#include "agent/worker.h"

#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>

#define STACK_BYTES (256u << 10)

struct worker {
	struct loop_watch finished; /* an eventfd */
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static void *run(void *p)
{
	struct worker *worker = p;
	const uint64_t one = 1;

	worker->work(worker->arg);
	(void)!write(worker->finished.fd, &one, sizeof(one));
	return NULL;
}

static void on_finished(struct loop_watch *watch, short revents)
{
	struct worker *worker = list_entry(watch, struct worker, finished);
	void (*done)(void *arg) = worker->done;
	void *arg = worker->arg;

	(void)revents;
	loop_watch_remove(watch);
	(void)close(watch->fd);
	free(worker);
	done(arg);
}

int worker_run(struct loop *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg,
	       struct err *err)
{
	struct worker *worker;
	auto_close int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_attr_t attributes;
	pthread_t thread;
	int failure;

	if (fd < 0)
		return err_sys(err, "eventfd");
	worker = xcalloc(1, sizeof(*worker));
	loop_watch_init(&worker->finished);
	worker->finished.fd = fd;
	worker->finished.events = POLLIN;
	worker->finished.ready = on_finished;
	worker->work = work;
	worker->done = done;
	worker->arg = arg;
	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	failure = pthread_create(&thread, &attributes, run, worker);
	(void)pthread_attr_destroy(&attributes);
	if (failure != 0) {
		free(worker);
		errno = failure;
		return err_sys(err, "start a thread");
	}
	(void)take_fd(&fd);
	loop_watch_add(loop, &worker->finished);
	return 0;
}
