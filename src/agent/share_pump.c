/*
 * Threads of the pump:
 *
 *	forward, one a mount	reads /dev/fuse, queues the request, writes what is due
 *	backward		reads the port: replies go to /dev/fuse, the rest to the queue
 *	notify, some		write notifications to /dev/fuse (share_notify.c)
 *	writer			writes what is due when no forward thread is about to
 *
 * Why so many. The backward thread never writes to the port: a server whose answers are not read
 * stops reading requests, so a reader that waits for a writer waits for ever. And it never writes a
 * notification: invalidating an inode waits for locked pages, which the next reply in the same
 * stream may be the one to unlock. The port has one writer at a time (`writing`): whoever holds it
 * goes on until nothing is due, the others just queue. What waits for company (share_queue.h) the
 * writer thread sends after COMPANY_NS.
 */
#include "agent/share_pump.h"

#include "agent/share_along.h"
#include "agent/share_batch.h"
#include "agent/share_fuse.h"
#include "agent/share_names.h"
#include "agent/share_notify.h"
#include "agent/share_queue.h"
#include "agent/share_readahead.h"
#include "agent/share_stream.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "wire/frame.h"
#include "wire/proto.h"
#include "wire/share_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#define THREAD_STACK   ((size_t)128 << 10)
#define COMPANY_NS     20000000 /* how long a FORGET waits for another request to go with */
#define STALE_PAUSE_MS 500	/* so often caches may be dropped for stale ids */

struct pump_mount {
	struct share_pump *pump;
	uint32_t number;
	int fuse; /* -1: not mounted */
	char *path;
	struct share_along along;
	struct share_names names;
};

struct share_pump {
	int port;
	pthread_mutex_t lock;
	pthread_cond_t due;  /* for the writer thread */
	pthread_cond_t room; /* for forward threads */
	bool writing;
	bool timing; /* the writer thread wakes by itself */
	bool broken; /* the port is of no use any more */
	struct share_queue queue;
	struct share_notify notify;
	uint64_t stale_ms;				 /* when an answer last made caches drop */
	struct pump_mount mounts[SHARE_PUMP_MOUNTS_MAX]; /* by number */
	struct share_stream stream;			 /* of the backward thread alone */
};

/* Writes until nothing is due, unless somebody is at it. Called, and returns, with the lock held.
 */
static void drain(struct share_pump *pump)
{
	struct share_batch batch;
	struct err err;

	if (pump->writing)
		return;
	pump->writing = true;
	while (!pump->broken) {
		const struct share_queued *large = share_batch_gather(&batch, &pump->queue);
		int r;

		if (batch.used == 0)
			break;
		(void)pthread_mutex_unlock(&pump->lock);
		r = file_write_all(pump->port, batch.bytes, batch.used, &err);
		if (r == 0 && large)
			r = file_write_all(pump->port, large->bytes, large->length, &err);
		(void)pthread_mutex_lock(&pump->lock);
		if (large)
			share_queue_written(&pump->queue);
		(void)pthread_cond_broadcast(&pump->room);
		if (r < 0)
			pump->broken = true;
	}
	pump->writing = false;
}

/* Waits until something is due. What waits for company waits no longer than that. Lock held. */
static void wait_for_due(struct share_pump *pump)
{
	struct timespec end;

	if (!share_queue_waits(&pump->queue)) {
		(void)pthread_cond_wait(&pump->due, &pump->lock);
		return;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += COMPANY_NS;
	if (end.tv_nsec >= 1000000000) {
		end.tv_sec++;
		end.tv_nsec -= 1000000000;
	}
	pump->timing = true;
	if (pthread_cond_timedwait(&pump->due, &pump->lock, &end) == ETIMEDOUT)
		share_queue_flush(&pump->queue);
	pump->timing = false;
}

static void *writer_thread(void *context)
{
	struct share_pump *pump = context;

	(void)pthread_mutex_lock(&pump->lock);
	while (!pump->broken) {
		drain(pump);
		wait_for_due(pump);
	}
	(void)pthread_mutex_unlock(&pump->lock);
	return NULL;
}

/* Waits until the mount may have one more request on its way. Lock held. */
static void wait_for_room(struct share_pump *pump, uint32_t mount)
{
	size_t count;
	size_t bytes;

	for (;;) {
		share_queue_load(&pump->queue, mount, &count, &bytes);
		if (count < SHARE_OUTSTANDING_MAX && bytes < SHARE_PUMP_BYTES_MAX)
			return;
		(void)pthread_cond_wait(&pump->room, &pump->lock);
	}
}

/* Once the kernel asks for more than INIT, that has been answered. */
static void read_ahead(const struct pump_mount *mount)
{
	struct err err = ERR_INIT;

	if (share_readahead_set(mount->path, SHARE_DATA_MAX / 1024, &err) < 0)
		log_info("share", "reading ahead: %s", err.text);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Lock held, also while the kernel is told: what came with a later answer must not overtake it. */
static bool answer_here(struct pump_mount *mount, const uint8_t *request, size_t length)
{
	uint8_t reply[SHARE_NAMES_REPLY];
	size_t size = 0;

	_Static_assert(SHARE_ALONG_REPLY <= sizeof(reply), "either fits");
	if (share_names_answer(&mount->names, request, length, reply))
		size = SHARE_NAMES_REPLY;
	else if (share_along_answer(&mount->along, request, now_ms(), reply))
		size = SHARE_ALONG_REPLY;
	if (size == 0)
		return false;
	(void)!write(mount->fuse, reply, size);
	return true;
}

/* What is known here of the host may not hold any more. Lock held. */
static void forget(struct pump_mount *mount)
{
	share_along_forget(&mount->along);
	share_names_forget(&mount->names);
}

static void *forward_thread(void *context)
{
	struct pump_mount *mount = context;
	struct share_pump *pump = mount->pump;
	auto_free uint8_t *bytes = xmalloc(SHARE_PAYLOAD_MAX);
	bool used = false;

	for (;;) {
		ssize_t n = read(mount->fuse, bytes, SHARE_PAYLOAD_MAX);

		/* ENOENT: the request was taken back. */
		if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
			continue;
		if (n < (ssize_t)FUSE_IN_HEADER)
			break; /* ENODEV: unmounted */
		uint32_t opcode = fuse_u32(bytes + 4);

		/* Requests are never taken back: they are short, and the server has one thread. */
		if (opcode == OP_INTERRUPT)
			continue;
		if (opcode != OP_INIT && !used) {
			used = true;
			read_ahead(mount);
		}
		(void)pthread_mutex_lock(&pump->lock);
		if (answer_here(mount, bytes, (size_t)n)) {
			(void)pthread_mutex_unlock(&pump->lock);
			continue;
		}
		wait_for_room(pump, mount->number);
		share_queue_add(&pump->queue, mount->number, bytes, (size_t)n, fuse_u64(bytes + 8),
				opcode != OP_FORGET && opcode != OP_BATCH_FORGET);
		drain(pump);
		if (!pump->timing && share_queue_waits(&pump->queue))
			(void)pthread_cond_signal(&pump->due);
		(void)pthread_mutex_unlock(&pump->lock);
	}
	log_info("share", "mount %u ended", mount->number);
	return NULL;
}

/* Lock held. An id that a server started anew does not know: its name was in use here when the
 * caches were dropped. Opening a file asks nothing, so the kernel would go on with the id for as
 * long as it keeps the name. */
static void see_stale(struct share_pump *pump, const uint8_t *answer)
{
	uint64_t now = now_ms();

	if ((int32_t)fuse_u32(answer + 4) != -ESTALE || pump->queue.epoch < 2 ||
	    now < pump->stale_ms + STALE_PAUSE_MS)
		return;
	pump->stale_ms = now;
	share_notify_drop_caches(&pump->notify);
}

/* A frame with a FUSE message for one of the mounts. */
static void take_message(struct share_pump *pump, const struct frame *frame, const uint8_t *payload)
{
	int fuse = -1;
	bool asked = false;

	if (frame->channel >= SHARE_PUMP_MOUNTS_MAX || frame->length < FUSE_OUT_HEADER ||
	    fuse_u32(payload) != frame->length)
		return;
	(void)pthread_mutex_lock(&pump->lock);
	fuse = pump->mounts[frame->channel].fuse;
	if (fuse >= 0 && frame->type == SHARE_NOTIFY) {
		forget(&pump->mounts[frame->channel]);
		share_notify_add(&pump->notify, fuse, payload, frame->length);
	}
	if (frame->type == SHARE_REPLY)
		asked = share_queue_answer(&pump->queue, frame->channel, fuse_u64(payload + 8));
	if (asked) {
		see_stale(pump, payload);
		(void)pthread_cond_broadcast(&pump->room);
		if (pump->queue.quiesced_due)
			(void)pthread_cond_signal(&pump->due);
	}
	(void)pthread_mutex_unlock(&pump->lock);
	/* ENOENT: the program that asked was killed meanwhile. */
	if (asked && fuse >= 0 && write(fuse, payload, frame->length) < 0 && errno != ENOENT)
		log_warn("share", "the kernel refused an answer of %u bytes: %s", frame->length,
			 strerror(errno));
}

/* What the server says of a directory along with an answer. Lock held. */
static bool take_word(struct share_pump *pump, const struct frame *frame, const uint8_t *payload)
{
	if (frame->channel >= SHARE_PUMP_MOUNTS_MAX)
		return false;
	struct pump_mount *mount = &pump->mounts[frame->channel];

	if (frame->type == SHARE_ALONG && frame->length == SHARE_ALONG_SIZE)
		share_along_put(&mount->along, payload, now_ms());
	else if (frame->type == SHARE_EMPTY && frame->length == SHARE_EMPTY_SIZE)
		share_names_empty(&mount->names, payload);
	else
		return false;
	return true;
}

static void take_frame(struct share_pump *pump, const struct frame *frame, const uint8_t *payload)
{
	if (frame->type == SHARE_REPLY || frame->type == SHARE_NOTIFY) {
		take_message(pump, frame, payload);
		return;
	}
	(void)pthread_mutex_lock(&pump->lock);
	if (take_word(pump, frame, payload)) {
		(void)pthread_mutex_unlock(&pump->lock);
		return;
	}
	for (size_t i = 0; i < SHARE_PUMP_MOUNTS_MAX; i++)
		forget(&pump->mounts[i]);
	if (frame->type == SHARE_SERVER_HELLO && frame->length == 8) {
		/* Another server: nobody told us what changed in between. */
		if (pump->queue.epoch > 0)
			share_notify_drop_caches(&pump->notify);
		share_queue_hello(&pump->queue, pump->stream.nonce);
	} else if (frame->type == SHARE_QUIESCE) {
		share_queue_hold(&pump->queue);
	} else if (frame->type == SHARE_RESUME) {
		share_queue_go_on(&pump->queue);
	} else if (frame->type == SHARE_DROP) {
		share_notify_drop_caches(&pump->notify);
	}
	(void)pthread_cond_signal(&pump->due);
	(void)pthread_mutex_unlock(&pump->lock);
}

static void *backward_thread(void *context)
{
	struct share_pump *pump = context;

	for (;;) {
		size_t size;
		uint8_t *space = share_stream_space(&pump->stream, &size);
		ssize_t n = read(pump->port, space, size);
		struct frame frame;
		const uint8_t *payload;
		int r;

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			break;
		/* No host end: it may come back, and nothing tells when. */
		if (n == 0) {
			(void)usleep(10000);
			continue;
		}
		share_stream_fed(&pump->stream, (size_t)n);
		while ((r = share_stream_next(&pump->stream, &frame, &payload)) > 0)
			take_frame(pump, &frame, payload);
		if (r < 0)
			log_error("share", "the host sent something that is no frame; "
					   "the share stops until its server is started again");
	}
	log_error("share", "read the port: %s", strerror(errno));
	(void)pthread_mutex_lock(&pump->lock);
	pump->broken = true;
	(void)pthread_cond_broadcast(&pump->due);
	(void)pthread_mutex_unlock(&pump->lock);
	share_notify_end(&pump->notify);
	return NULL;
}

static int start_thread(void *(*run)(void *), void *context, struct err *err)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r;

	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, THREAD_STACK);
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attributes, run, context);
	(void)pthread_attr_destroy(&attributes);
	if (r != 0) {
		errno = r;
		return err_sys(err, "start a thread of the share");
	}
	return 0;
}

struct share_pump *share_pump_start(int port_fd, struct err *err)
{
	struct share_pump *pump = xcalloc(1, sizeof(*pump));
	pthread_condattr_t monotonic;

	pump->port = port_fd;
	(void)pthread_mutex_init(&pump->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&pump->due, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	(void)pthread_cond_init(&pump->room, NULL);
	share_queue_init(&pump->queue);
	share_notify_init(&pump->notify);
	for (uint32_t i = 0; i < SHARE_PUMP_MOUNTS_MAX; i++) {
		pump->mounts[i] = (struct pump_mount){.pump = pump, .number = i, .fuse = -1};
		share_along_init(&pump->mounts[i].along);
		share_names_init(&pump->mounts[i].names);
	}
	share_stream_init(&pump->stream);
	/* A thread that runs already keeps the pump: on a failure here it is never freed. */
	if (file_set_nonblock(port_fd, false, err) < 0 ||
	    start_thread(backward_thread, pump, err) < 0 ||
	    start_thread(writer_thread, pump, err) < 0)
		return NULL;
	for (size_t i = 0; i < SHARE_NOTIFY_THREADS; i++)
		if (start_thread(share_notify_thread, &pump->notify, err) < 0)
			return NULL;
	return pump;
}

int share_pump_mount(struct share_pump *pump, uint32_t number, const char *path, bool read_only,
		     struct err *err)
{
	unsigned long flags = MS_NOSUID | MS_NODEV | (read_only ? MS_RDONLY : 0);
	struct pump_mount *entry;
	char options[128];
	auto_close int fuse = -1;

	if (number >= SHARE_PUMP_MOUNTS_MAX || pump->mounts[number].fuse >= 0)
		return err_set(err, ERR_INVALID, "share %u cannot be mounted (again)", number);
	entry = &pump->mounts[number];
	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fuse < 0)
		return err_sys(err, "open /dev/fuse");
	(void)snprintf(options, sizeof(options),
		       "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other",
		       fuse);
	if (mount("dxvm", path, "fuse.dxvm", flags, options) < 0)
		return err_sys(err, "mount share %u at %s", number, path);
	(void)pthread_mutex_lock(&pump->lock);
	entry->path = xstrdup(path);
	entry->fuse = take_fd(&fuse);
	share_notify_mounted(&pump->notify, entry->path);
	(void)pthread_mutex_unlock(&pump->lock);
	return start_thread(forward_thread, entry, err);
}
