#include "share/watch.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#define NAME_EVENTS    (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define CONTENT_EVENTS (IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE)
#define BUFFER_SIZE    65536

int watch_open(void)
{
	return inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
}

/* File systems whose changes can come from elsewhere, by the numbers of statfs(2). */
static bool is_remote(int dir)
{
	static const uint32_t types[] = {
	    0x6969 /* NFS */,	     0x517b /* SMB */,	      0xff534d42 /* CIFS */,
	    0xfe534d42 /* SMB2 */,   0x65735546 /* FUSE */,   0x01021997 /* 9p */,
	    0x00c36400 /* Ceph */,   0x5346414f /* AFS */,    0x01161970 /* GFS2 */,
	    0x0bd00bd0 /* Lustre */, 0x786f4256 /* vboxsf */, 0x6b414653 /* kAFS */,
	    0x7461636f /* OCFS2 */,  0x47504653 /* GPFS */,   0x19830326 /* BeeGFS */,
	};
	struct statfs fs;

	if (fstatfs(dir, &fs) < 0)
		return true;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if ((uint32_t)fs.f_type == types[i])
			return true;
	return false;
}

int watch_add(int watch, int dir)
{
	char path[32];
	int id;

	if (is_remote(dir))
		return -EOPNOTSUPP;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
	id = inotify_add_watch(watch, path,
			       NAME_EVENTS | CONTENT_EVENTS | IN_ONLYDIR | IN_EXCL_UNLINK);
	return id < 0 ? -errno : id;
}

void watch_remove(int watch, int id)
{
	(void)inotify_rm_watch(watch, id);
}

void watch_read(int watch, void (*event)(void *context, const struct watch_event *event),
		void *context)
{
	_Alignas(struct inotify_event) char buffer[BUFFER_SIZE];
	ssize_t n = read(watch, buffer, sizeof(buffer));

	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *in = (const void *)(buffer + at);
		struct watch_event out = {.id = in->wd, .name = in->len ? in->name : ""};

		at += (ssize_t)(sizeof(*in) + in->len);
		if (in->mask & IN_Q_OVERFLOW)
			out.kind = WATCH_OVERFLOW;
		else if (in->mask & IN_IGNORED)
			out.kind = WATCH_GONE;
		else if (in->mask & NAME_EVENTS)
			out.kind = WATCH_NAME;
		else if (in->mask & IN_UNMOUNT)
			out.kind = WATCH_UNMOUNTED;
		else if (in->mask & IN_MODIFY)
			out.kind = WATCH_WRITTEN;
		else if (in->mask & IN_CLOSE_WRITE)
			out.kind = WATCH_CLOSED;
		else
			out.kind = WATCH_CONTENT;
		event(context, &out);
	}
}
