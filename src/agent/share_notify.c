#include "agent/share_notify.h"

#include "agent/share_forget.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOTIFIES_MAX 65536
#define AHEAD	     256 /* so many are looked at for one that need not wait */
#define AT_NODE	     16	 /* behind fuse_out_header, of either kind of notification */

struct notification {
	struct list link;
	struct share_notify_at at;
	size_t length;
	uint8_t bytes[];
};

void share_notify_init(struct share_notify *notify)
{
	*notify = (struct share_notify){.count = 0};
	for (size_t i = 0; i < SHARE_NOTIFY_THREADS; i++)
		notify->busy[i].fuse = -1;
	(void)pthread_mutex_init(&notify->lock, NULL);
	(void)pthread_cond_init(&notify->due, NULL);
	list_init(&notify->waiting);
}

void share_notify_mounted(struct share_notify *notify, const char *path)
{
	(void)pthread_mutex_lock(&notify->lock);
	notify->mounts[notify->mount_count++] = path;
	(void)pthread_mutex_unlock(&notify->lock);
}

void share_notify_add(struct share_notify *notify, int fuse, const uint8_t *bytes, size_t length)
{
	struct notification *added;

	(void)pthread_mutex_lock(&notify->lock);
	if (notify->count == NOTIFIES_MAX) {
		notify->drop_caches = true;
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
	notify->drop_caches = true;
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

/* Takes what is due, or waits for it; NULL for a drop of caches, or at the end. Lock held. */
static struct notification *take(struct share_notify *notify)
{
	struct notification *taken = NULL;

	while (!notify->ended && !notify->drop_caches && !(taken = next(notify)))
		(void)pthread_cond_wait(&notify->due, &notify->lock);
	if (taken) {
		list_remove(&taken->link);
		notify->count--;
	}
	return taken;
}

/* Lock held, but for the write. */
static void tell(struct share_notify *notify, struct share_notify_at *busy,
		 struct notification *taken)
{
	*busy = taken->at;
	(void)pthread_mutex_unlock(&notify->lock);
	/* ENOENT only says that the kernel does not know the name or inode any more. */
	(void)!write(taken->at.fuse, taken->bytes, taken->length);
	free(taken);
	(void)pthread_mutex_lock(&notify->lock);
	busy->fuse = -1;
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
		} else if (notify->drop_caches) {
			notify->drop_caches = false;
			drop_caches(notify);
		}
	}
	(void)pthread_mutex_unlock(&notify->lock);
	return NULL;
}
