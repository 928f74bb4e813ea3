#include "supervisor/door.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 64
#define LOOK_MS 2000

struct door {
	uv_poll_t poll;
	uv_timer_t look;
	int fd;
	char *path; /* NULL: it is nowhere now */
	char *dir;
	char *name;
	dev_t device; /* of the socket's name */
	ino_t inode;
	const struct door_events *events;
	void *ctx;
	int open_handles;
};

/* The directory may be in /tmp, where others can put things first. */
static int make_dir(const char *dir, struct err *err)
{
	struct stat st;

	if (file_mkdirs(dir, 0700, err) < 0)
		return -1;
	if (lstat(dir, &st) < 0)
		return err_sys(err, "%s", dir);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return err_set(
		    err, ERR_INVALID,
		    "%s is not a directory of yours alone (mode 0700); remove it, or set "
		    "XDG_RUNTIME_DIR",
		    dir);
	return 0;
}

static int listen_at(const char *path, int *ret_fd, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, ERR_INVALID,
			       "%s is too long for a socket; set XDG_RUNTIME_DIR to "
			       "something shorter",
			       path);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	/* We hold the lock of the data directory: whatever is there is stale. */
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(err, "remove stale socket %s", path);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return err_sys(err, "listen on %s", path);
	*ret_fd = take_fd(&fd);
	return 0;
}

static int make_in(struct door *door, const char *dir, struct err *err)
{
	auto_free char *path = xasprintf("%s/%s.sock", dir, door->name);
	auto_close int fd = -1;
	struct stat st;

	if (make_dir(dir, err) < 0 || listen_at(path, &fd, err) < 0)
		return -1;
	if (lstat(path, &st) < 0)
		return err_sys(err, "%s", path);
	door->device = st.st_dev;
	door->inode = st.st_ino;
	free(door->path);
	door->path = take_ptr(&path);
	/* In the place of the one before, which ends with it: libuv knows the number. */
	if (door->fd < 0)
		door->fd = take_fd(&fd);
	else if (dup3(fd, door->fd, O_CLOEXEC) < 0)
		return err_sys(err, "take over the socket");
	if (door->events->moved(door->ctx, door->path, err) == 0)
		return 0;
	/* Nobody would come there. */
	(void)unlink(door->path);
	free(take_ptr(&door->path));
	return -1;
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct door *door = poll->data;
	int fd;

	(void)events;
	if (status < 0)
		return;
	fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		door->events->connected(door->ctx, fd);
}

static bool is_there(const struct door *door)
{
	struct stat st;

	return door->path && lstat(door->path, &st) == 0 && st.st_dev == door->device &&
	       st.st_ino == door->inode;
}

static void on_look(uv_timer_t *timer)
{
	struct door *door = timer->data;
	auto_free char *other = xasprintf("/tmp/dxvm-%lu", (unsigned long)geteuid());
	struct err err = ERR_INIT;

	if (is_there(door))
		return;
	if (door->path)
		log_warn("control", "the socket %s is gone; making another", door->path);
	free(take_ptr(&door->path));
	(void)uv_poll_stop(&door->poll);
	if (make_in(door, door->dir, &err) < 0 && make_in(door, other, &err) < 0) {
		log_error("control", "%s", err.text);
		return;
	}
	log_info("control", "listening on %s", door->path);
	(void)uv_poll_start(&door->poll, UV_READABLE, on_connection);
}

int door_open(uv_loop_t *loop, const char *dir, const char *name, const struct door_events *events,
	      void *ctx, struct door **ret_door, struct err *err)
{
	struct door *door = xcalloc(1, sizeof(*door));

	*door = (struct door){.fd = -1,
			      .dir = xstrdup(dir),
			      .name = xstrdup(name),
			      .events = events,
			      .ctx = ctx,
			      .open_handles = 2};
	if (make_in(door, dir, err) < 0) {
		cleanup_close(&door->fd);
		free(door->dir);
		free(door->name);
		free(door);
		return -1;
	}
	(void)uv_poll_init(loop, &door->poll, door->fd);
	(void)uv_timer_init(loop, &door->look);
	door->poll.data = door;
	door->look.data = door;
	(void)uv_poll_start(&door->poll, UV_READABLE, on_connection);
	(void)uv_timer_start(&door->look, on_look, LOOK_MS, LOOK_MS);
	*ret_door = door;
	return 0;
}

void door_shut(struct door *door)
{
	(void)uv_poll_stop(&door->poll);
	(void)uv_timer_stop(&door->look);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct door *door = handle->data;

	if (--door->open_handles == 0)
		free(door);
}

void door_free(struct door *door)
{
	if (!door)
		return;
	door_shut(door);
	(void)close(door->fd);
	if (is_there(door))
		(void)unlink(door->path);
	free(take_ptr(&door->path));
	free(take_ptr(&door->dir));
	free(take_ptr(&door->name));
	uv_close((uv_handle_t *)&door->poll, on_handle_closed);
	uv_close((uv_handle_t *)&door->look, on_handle_closed);
}
