#include "agent/share_notify.h"

#include "agent/share_forget.h"
#include "agent/share_fuse.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOTIFIES_MAX 65536
#define AHEAD	     256	     /* so many are looked at for one that need not wait */
#define AT_NODE	     FUSE_OUT_HEADER /* behind fuse_out_header, of either kind of notification */
#define TIMES	     12		     /* that the kernel is told of what it does not know */
#define LATER_NS     50000000
#define DROPS	     2
#define DROP_NS	     100000000 /* from one to the next */
#define SECOND_NS    1000000000

struct notification {
	struct list link;
	struct share_notify_at at;
	unsigned told;
	struct timespec due; /* among those for later */
	size_t length;
	uint8_t bytes[];
};

void share_notify_init(struct share_notify *notify)
{
	pthread_condattr_t clock;

	*notify = (struct share_notify){.count = 0};
	for (size_t i = 0; i < SHARE_NOTIFY_THREADS; i++)
		notify->busy[i].fuse = -1;
	(void)pthread_mutex_init(&notify->lock, NULL);
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&notify->due, &clock);
	(void)pthread_condattr_destroy(&clock);
	list_init(&notify->waiting);
	list_init(&notify->later);
}

void share_notify_mounted(struct share_notify *notify, const char *path)
{
	(void)pthread_mutex_lock(&notify->lock);
	notify->mounts[notify->mount_count++] = path;
	(void)pthread_mutex_unlock(&notify->lock);
}

/* So long from now; less than a second. */
static struct timespec in_ns(long ns)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += ns;
	if (t.tv_nsec >= SECOND_NS) {
		t.tv_nsec -= SECOND_NS;
		t.tv_sec++;
	}
	return t;
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* Lock held. */
static void drop_soon(struct share_notify *notify)
{
	notify->drops = DROPS;
	notify->drop_due = in_ns(0);
}

void share_notify_add(struct share_notify *notify, int fuse, const uint8_t *bytes, size_t length)
{
	struct notification *added;

	(void)pthread_mutex_lock(&notify->lock);
	if (notify->count >= NOTIFIES_MAX) {
		drop_soon(notify);
	} else {
		added = xmalloc(sizeof(*added) + length);
		*added = (struct notification){.at.fuse = fuse, .length = length};
		if (length >= AT_NODE + sizeof(added->at.node))
			memcpy(&added->at.node, bytes + AT_NODE, sizeof(added->at.node));
		memcpy(added->bytes, bytes, length);
		list_init(&added->link);
		list_append(&notify->waiting, &added->link);
		notify->count++;
	}
	(void)pthread_cond_signal(&notify->due);
	(void)pthread_mutex_unlock(&notify->lock);
}

void share_notify_drop_caches(struct share_notify *notify)
{
	(void)pthread_mutex_lock(&notify->lock);
	drop_soon(notify);
	(void)pthread_cond_signal(&notify->due);
	(void)pthread_mutex_unlock(&notify->lock);
}

void share_notify_end(struct share_notify *notify)
{
	(void)pthread_mutex_lock(&notify->lock);
	notify->ended = true;
	(void)pthread_cond_broadcast(&notify->due);
	(void)pthread_mutex_unlock(&notify->lock);
}

/* Only these threads may wait for the kernel here, which may ask the host before it is done. Called,
 * and returns, with the lock held. */
static void drop_caches(struct share_notify *notify)
{
	for (size_t i = 0; i < notify->mount_count; i++) {
		struct err err = ERR_INIT;

		(void)pthread_mutex_unlock(&notify->lock);
		if (share_forget_names(notify->mounts[i], &err) < 0)
			log_warn("share", "%s", err.text);
		(void)pthread_mutex_lock(&notify->lock);
	}
}

static bool is_busy(const struct share_notify *notify, const struct share_notify_at *at)
{
	for (size_t i = 0; i < SHARE_NOTIFY_THREADS; i++)
		if (notify->busy[i].fuse == at->fuse && notify->busy[i].node == at->node)
			return true;
	return false;
}

/* The first that nobody is at work for; NULL when there is none. */
static struct notification *next(const struct share_notify *notify)
{
	size_t seen = 0;

	list_each(link, tmp, &notify->waiting) {
		struct notification *waiting = list_entry(link, struct notification, link);

		if (!is_busy(notify, &waiting->at))
			return waiting;
		if (++seen == AHEAD)
			break;
	}
	return NULL;
}

/* Moves those whose time has come to those that wait. False when no others are left; else *ret_due is
 * the time of the first. */
static bool move_due(struct share_notify *notify, struct timespec *ret_due)
{
	struct timespec now = in_ns(0);

	list_each(link, tmp, &notify->later) {
		struct notification *later = list_entry(link, struct notification, link);

		if (is_before(&now, &later->due)) {
			*ret_due = later->due;
			return true;
		}
		list_remove(link);
		list_append(&notify->waiting, link);
	}
	return false;
}

static bool drop_is_due(const struct share_notify *notify)
{
	struct timespec now = in_ns(0);

	return notify->drops > 0 && !is_before(&now, &notify->drop_due);
}

/* Takes what is due, or waits for it; NULL for a drop of caches, or at the end. Lock held. */
static struct notification *take(struct share_notify *notify)
{
	struct notification *taken = NULL;

	while (!notify->ended && !drop_is_due(notify)) {
		struct timespec due;
		bool later = move_due(notify, &due);

		if (notify->drops > 0 && (!later || is_before(&notify->drop_due, &due))) {
			due = notify->drop_due;
			later = true;
		}

		taken = next(notify);
		if (taken)
			break;
		if (later)
			(void)pthread_cond_timedwait(&notify->due, &notify->lock, &due);
		else
			(void)pthread_cond_wait(&notify->due, &notify->lock);
	}
	if (taken) {
		list_remove(&taken->link);
		notify->count--;
		/* Somebody has to look after the others. */
		if (!list_empty(&notify->waiting) || !list_empty(&notify->later) ||
		    notify->drops > 0)
			(void)pthread_cond_signal(&notify->due);
	}
	return taken;
}

/* That a name is not known the kernel says with the lock that a LOOKUP holds to its end, so that is
 * true. Of a file or directory, it may only be so because the program that asked did not run since. */
static bool is_too_early(const struct notification *told, ssize_t written, int sys)
{
	return written < 0 && sys == ENOENT && told->told < TIMES &&
	       fuse_u32(told->bytes + FUSE_AT_CODE) == NOTIFY_INVAL_INODE;
}

static void tell_later(struct share_notify *notify, struct notification *early)
{
	early->due = in_ns(LATER_NS);
	list_append(&notify->later, &early->link);
	notify->count++;
	(void)pthread_cond_signal(&notify->due);
}

/* Lock held, but for the write. */
static void tell(struct share_notify *notify, struct share_notify_at *busy,
		 struct notification *taken)
{
	ssize_t n;
	int sys;

	*busy = taken->at;
	taken->told++;
	(void)pthread_mutex_unlock(&notify->lock);
	n = write(taken->at.fuse, taken->bytes, taken->length);
	sys = errno;
	(void)pthread_mutex_lock(&notify->lock);
	busy->fuse = -1;
	if (is_too_early(taken, n, sys))
		tell_later(notify, taken);
	else
		free(taken);
	/* The next one may have waited for us. */
	if (!list_empty(&notify->waiting))
		(void)pthread_cond_signal(&notify->due);
}

void *share_notify_thread(void *context)
{
	struct share_notify *notify = context;
	struct share_notify_at *busy;

	(void)pthread_mutex_lock(&notify->lock);
	busy = &notify->busy[notify->threads++];
	while (!notify->ended) {
		struct notification *taken = take(notify);

		if (taken) {
			tell(notify, busy, taken);
		} else if (!notify->ended) {
			notify->drops--;
			notify->drop_due = in_ns(DROP_NS);
			drop_caches(notify);
		}
	}
	(void)pthread_mutex_unlock(&notify->lock);
	return NULL;
}
