#include "agent/share_notify.h"

#include "agent/share_forget.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOTIFIES_MAX 65536

struct notification {
	struct list link;
	int fuse;
	size_t length;
	uint8_t bytes[];
};

void share_notify_init(struct share_notify *notify)
{
	*notify = (struct share_notify){.count = 0};
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
		*added = (struct notification){.fuse = fuse, .length = length};
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
	(void)pthread_cond_signal(&notify->due);
	(void)pthread_mutex_unlock(&notify->lock);
}

/* Only this thread may wait for the kernel here, which may ask the host before it is done. Called,
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

/* Takes what is due, or waits for it. Lock held. */
static struct notification *take(struct share_notify *notify, bool *ret_drop)
{
	struct notification *taken = NULL;

	while (!notify->ended && !notify->drop_caches && list_empty(&notify->waiting))
		(void)pthread_cond_wait(&notify->due, &notify->lock);
	*ret_drop = notify->drop_caches;
	notify->drop_caches = false;
	if (!list_empty(&notify->waiting)) {
		taken = list_entry(notify->waiting.next, struct notification, link);
		list_remove(&taken->link);
		notify->count--;
	}
	return taken;
}

void *share_notify_thread(void *context)
{
	struct share_notify *notify = context;
	bool drop;

	(void)pthread_mutex_lock(&notify->lock);
	while (!notify->ended) {
		struct notification *taken = take(notify, &drop);

		if (drop)
			drop_caches(notify);
		(void)pthread_mutex_unlock(&notify->lock);
		/* ENOENT only says that the kernel does not know the name or inode any more. */
		if (taken)
			(void)!write(taken->fuse, taken->bytes, taken->length);
		free(taken);
		(void)pthread_mutex_lock(&notify->lock);
	}
	(void)pthread_mutex_unlock(&notify->lock);
	return NULL;
}
