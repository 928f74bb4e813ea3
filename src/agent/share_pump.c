/*
 * Theory of operation. One thread, the pump, carries everything both ways:
 *
 *	/dev/fuse, one a mount ──▶ queue ──▶ port	requests, as far as there is room for them
 *	port ──▶ /dev/fuse				answers
 *	port ──▶ share_notify				notifications
 *
 * It never waits to write to the port: a server whose answers nobody reads stops reading requests, so
 * it would wait for ever. And it never writes a notification: invalidating an inode waits for locked
 * pages, which the next answer in the same stream may be the one to unlock (share_notify.c has threads
 * for that).
 *
 * Why one thread. What a program in the guest waits for is mostly threads being woken: itself, and
 * whoever carries its request and the answer. One that just gave an answer is awake, and may find
 * the next request without having slept at all (share_look.h).
 *
 * Requests that wait for company (share_queue.h) do so for COMPANY_MS.
 */
#include "agent/share_pump.h"

#include "agent/share_along.h"
#include "agent/share_batch.h"
#include "agent/share_fuse.h"
#include "agent/share_look.h"
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
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#define THREAD_STACK   ((size_t)128 << 10)
#define COMPANY_MS     20   /* how long a FORGET waits for another request to go with */
#define HOST_AWAY_MS   10   /* nothing tells when the host's end of the port is back */
#define PORT_PIECE     4096 /* most that the port hands over a read; after less there is no more */
#define PORT_READS     64   /* a turn: others want theirs */
#define STALE_PAUSE_MS 500  /* so often caches may be dropped for stale ids */

struct pump_mount {
	struct share_pump *pump;
	uint32_t number;
	int fuse;   /* -1: not mounted */
	bool ended; /* unmounted: nothing comes from there any more */
	bool used;
	char *path;
	struct share_along along;
	struct share_names names;
};

struct share_pump {
	int port;
	int mounted;	      /* an eventfd: there is one more mount */
	pthread_mutex_t lock; /* the pump's but for its poll; for share_pump_mount */
	uint64_t company_ms;  /* until then requests wait for company; 0: none do */
	bool blocked;	      /* the port takes no more now */
	bool away;	      /* there is no host end */
	bool broken;	      /* the port is of no use any more */
	bool may_look;	      /* there is a processor to spare */
	struct share_look look;
	struct share_queue queue;
	struct share_batch batch;
	struct share_notify notify;
	uint64_t stale_ms;				 /* when an answer last made caches drop */
	struct pump_mount mounts[SHARE_PUMP_MOUNTS_MAX]; /* by number */
	struct share_stream stream;
	uint8_t request[SHARE_PAYLOAD_MAX];
};

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t now_ms(void)
{
	return now_ns() / 1000000;
}

/* Writes what is due, as far as the port takes it. */
static void drain(struct share_pump *pump)
{
	int r = share_batch_write(&pump->batch, &pump->queue, pump->port);

	pump->blocked = r == 0;
	if (r < 0) {
		log_error("share", "write to the port: %s", strerror(errno));
		pump->broken = true;
	}
}

/* Whether the mount may have one more request on its way. */
static bool has_room(const struct share_pump *pump, uint32_t mount)
{
	size_t count;
	size_t bytes;

	share_queue_load(&pump->queue, mount, &count, &bytes);
	return count < SHARE_OUTSTANDING_MAX && bytes < SHARE_PUMP_BYTES_MAX;
}

/* Once the kernel asks for more than INIT, that has been answered. */
static void read_ahead(const struct pump_mount *mount)
{
	struct err err = ERR_INIT;

	if (share_readahead_set(mount->path, SHARE_DATA_MAX / 1024, &err) < 0)
		log_info("share", "reading ahead: %s", err.text);
}

/* Told at once, so that what came with a later answer does not overtake it. */
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
	share_look_answered(&mount->pump->look, now_ns());
	return true;
}

/* What is known here of the host may not hold any more. */
static void forget(struct pump_mount *mount)
{
	share_along_forget(&mount->along);
	share_names_forget(&mount->names);
}

static void take_request(struct pump_mount *mount)
{
	struct share_pump *pump = mount->pump;
	const uint8_t *bytes = pump->request;
	ssize_t n = read(mount->fuse, pump->request, sizeof(pump->request));

	/* ENOENT: the request was taken back. */
	if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
		return;
	if (n < (ssize_t)FUSE_IN_HEADER) { /* ENODEV: unmounted */
		mount->ended = true;
		log_info("share", "mount %u ended", mount->number);
		return;
	}
	uint32_t opcode = fuse_u32(bytes + 4);
	bool expects_reply = opcode != OP_FORGET && opcode != OP_BATCH_FORGET;

	/* Requests are never taken back: they are short, and the server has one thread. */
	if (opcode == OP_INTERRUPT)
		return;
	if (expects_reply)
		share_look_asked(&pump->look, now_ns());
	if (opcode != OP_INIT && !mount->used) {
		mount->used = true;
		read_ahead(mount);
	}
	if (!answer_here(mount, bytes, (size_t)n))
		share_queue_add(&pump->queue, mount->number, bytes, (size_t)n, fuse_u64(bytes + 8),
				expects_reply);
}

/* An id that a server started anew does not know: its name was in use here when the caches were
 * dropped. Opening a file asks nothing, so the kernel would go on with the id for as long as it keeps
 * the name. */
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
	int fuse;

	if (frame->channel >= SHARE_PUMP_MOUNTS_MAX || frame->length < FUSE_OUT_HEADER ||
	    fuse_u32(payload) != frame->length)
		return;
	fuse = pump->mounts[frame->channel].fuse;
	if (fuse >= 0 && frame->type == SHARE_NOTIFY) {
		forget(&pump->mounts[frame->channel]);
		share_notify_add(&pump->notify, fuse, payload, frame->length);
	}
	if (frame->type != SHARE_REPLY ||
	    !share_queue_answer(&pump->queue, frame->channel, fuse_u64(payload + 8)))
		return;
	/* ENOENT: the program that asked was killed meanwhile. */
	if (fuse >= 0 && write(fuse, payload, frame->length) < 0 && errno != ENOENT)
		log_warn("share", "the kernel refused an answer of %u bytes: %s", frame->length,
			 strerror(errno));
	see_stale(pump, payload);
	share_look_answered(&pump->look, now_ns());
}

/* What the server says of a directory along with an answer. */
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
	if (take_word(pump, frame, payload))
		return;
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
}

/* One read. Whether there may be more to read. */
static bool read_some(struct share_pump *pump)
{
	size_t size;
	uint8_t *space = share_stream_space(&pump->stream, &size);
	ssize_t n = read(pump->port, space, size);
	struct frame frame;
	const uint8_t *payload;
	int r;

	pump->away = n == 0;
	if (n == 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)))
		return false;
	if (n < 0) {
		log_error("share", "read the port: %s", strerror(errno));
		pump->broken = true;
		return false;
	}
	share_stream_fed(&pump->stream, (size_t)n);
	while ((r = share_stream_next(&pump->stream, &frame, &payload)) > 0)
		take_frame(pump, &frame, payload);
	if (r < 0)
		log_error("share", "the host sent something that is no frame; "
				   "the share stops until its server is started again");
	return n >= PORT_PIECE;
}

/* A large answer in one turn. */
static void read_port(struct share_pump *pump)
{
	for (int i = 0; i < PORT_READS && read_some(pump); i++)
		continue;
}

/* Until when what waits for company does: it was there before, or begins to wait now. */
static void time_company(struct share_pump *pump)
{
	if (!share_queue_waits(&pump->queue))
		pump->company_ms = 0;
	else if (pump->company_ms == 0)
		pump->company_ms = now_ms() + COMPANY_MS;
}

static void end_company(struct share_pump *pump)
{
	if (pump->company_ms == 0 || now_ms() < pump->company_ms)
		return;
	share_queue_flush(&pump->queue);
	pump->company_ms = 0;
}

/* How long to wait for something to happen. */
static int patience(const struct share_pump *pump, bool looks)
{
	uint64_t now = now_ms();

	if (looks)
		return 0;
	if (pump->away)
		return HOST_AWAY_MS;
	if (pump->company_ms == 0)
		return -1;
	return pump->company_ms > now ? (int)(pump->company_ms - now) : 0;
}

enum {
	POLL_MOUNTED,
	POLL_PORT,
	POLL_MOUNTS,
	POLL_COUNT = POLL_MOUNTS + SHARE_PUMP_MOUNTS_MAX,
};

/* Lock held, but while it waits. */
static void turn(struct share_pump *pump)
{
	bool looks = pump->may_look && share_look_on(&pump->look, now_ns());
	struct pollfd p[POLL_COUNT] = {
	    [POLL_MOUNTED] = {.fd = pump->mounted, .events = POLLIN},
	    /* While there is no host end the port says so for ever. */
	    [POLL_PORT] = {.fd = pump->away ? -1 : pump->port,
			   .events = (short)(POLLIN | (pump->blocked ? POLLOUT : 0))},
	};
	uint64_t count;
	int ready;

	for (uint32_t i = 0; i < SHARE_PUMP_MOUNTS_MAX; i++) {
		const struct pump_mount *mount = &pump->mounts[i];
		bool wanted = mount->fuse >= 0 && !mount->ended && has_room(pump, i);

		p[POLL_MOUNTS + i] =
		    (struct pollfd){.fd = wanted ? mount->fuse : -1, .events = POLLIN};
	}
	time_company(pump);
	(void)pthread_mutex_unlock(&pump->lock);
	ready = poll(p, POLL_COUNT, patience(pump, looks));
	/* Somebody else may have use for the processor. */
	if (ready == 0 && looks)
		(void)sched_yield();
	(void)pthread_mutex_lock(&pump->lock);
	end_company(pump);
	if (p[POLL_MOUNTED].revents)
		(void)!read(pump->mounted, &count, sizeof(count));
	if (p[POLL_PORT].revents || pump->away)
		read_port(pump);
	for (uint32_t i = 0; i < SHARE_PUMP_MOUNTS_MAX; i++)
		if (p[POLL_MOUNTS + i].revents)
			take_request(&pump->mounts[i]);
	drain(pump);
}

static void *pump_thread(void *context)
{
	struct share_pump *pump = context;

	(void)pthread_mutex_lock(&pump->lock);
	while (!pump->broken)
		turn(pump);
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

	pump->port = port_fd;
	pump->may_look = sysconf(_SC_NPROCESSORS_ONLN) > 1;
	(void)pthread_mutex_init(&pump->lock, NULL);
	share_queue_init(&pump->queue);
	share_notify_init(&pump->notify);
	for (uint32_t i = 0; i < SHARE_PUMP_MOUNTS_MAX; i++) {
		pump->mounts[i] = (struct pump_mount){.pump = pump, .number = i, .fuse = -1};
		share_along_init(&pump->mounts[i].along);
		share_names_init(&pump->mounts[i].names);
	}
	share_stream_init(&pump->stream);
	pump->mounted = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pump->mounted < 0) {
		(void)err_sys(err, "make an eventfd");
		return NULL;
	}
	/* A thread that runs already keeps the pump: on a failure here it is never freed. */
	if (file_set_nonblock(port_fd, true, err) < 0 || start_thread(pump_thread, pump, err) < 0)
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
	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fuse < 0)
		return err_sys(err, "open /dev/fuse");
	(void)snprintf(options, sizeof(options),
		       "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other,"
		       "max_read=%u",
		       fuse, SHARE_DATA_MAX);
	if (mount("dxvm", path, "fuse.dxvm", flags, options) < 0)
		return err_sys(err, "mount share %u at %s", number, path);
	(void)pthread_mutex_lock(&pump->lock);
	entry->path = xstrdup(path);
	entry->fuse = take_fd(&fuse);
	share_notify_mounted(&pump->notify, entry->path);
	(void)pthread_mutex_unlock(&pump->lock);
	if (eventfd_write(pump->mounted, 1) < 0)
		return err_sys(err, "tell the pump of share %u", number);
	return 0;
}
