#include "image/part.h"

#include "base/file.h"
#include "base/mem.h"
#include "image/cancel.h"
#include "image/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define FROM_MAX      4096
#define VALIDATOR_MAX 1024
#define LOCK_RETRY_NS 100000000

static char *part_name(const struct part *part)
{
	return xasprintf("%s.part", part->name);
}

static char *from_name(const struct part *part)
{
	return xasprintf("%s.part.from", part->name);
}

/* Whether the open file is still the one of that name: whoever held the lock may have renamed or
 * removed it. */
static bool is_current(const struct part *part, const char *name)
{
	struct stat open_one;
	struct stat named;

	return fstat(part->fd, &open_one) == 0 &&
	       fstatat(part->dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       open_one.st_dev == named.st_dev && open_one.st_ino == named.st_ino;
}

static int open_file(struct part *part, const char *name, struct err *err)
{
	struct stat st;

	/* O_NONBLOCK: a FIFO somebody put there must not hang us. */
	part->fd =
	    openat(part->dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
	if (part->fd < 0 || fstat(part->fd, &st) < 0)
		return err_sys(err, "create %s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s is not a regular file", name);
	return 0;
}

/* Waits in small steps, so that Ctrl-C ends the waiting. */
static int lock(struct part *part, struct err *err)
{
	const struct timespec pause = {.tv_nsec = LOCK_RETRY_NS};
	auto_free char *name = part_name(part);
	bool said = false;

	for (;;) {
		if (open_file(part, name, err) < 0)
			return -1;
		if (flock(part->fd, LOCK_EX | LOCK_NB) == 0) {
			if (is_current(part, name))
				return 0;
		} else if (errno != EWOULDBLOCK && errno != EINTR) {
			return err_sys(err, "lock %s", name);
		} else {
			if (!said)
				progress_note("another dxvm is fetching %s: waiting for it",
					      part->name);
			said = true;
			(void)nanosleep(&pause, NULL);
		}
		close_fd(&part->fd);
		if (cancel_check(err) < 0)
			return -1;
	}
}

/* "HASH\nVALIDATOR\n". False when the part is of another file. */
static bool read_from(struct part *part, const char *hash)
{
	auto_free char *name = from_name(part);
	auto_free char *text = NULL;
	struct err ignored = ERR_INIT;
	char recorded[HASH_HEX_SIZE];

	part->validator = xstrdup("");
	if (file_read(part->dir, name, FROM_MAX, &text, NULL, &ignored) < 0)
		return true;
	char *second = strchr(text, '\n');
	if (!second || !hash_parse(text, recorded) || strcmp(recorded, hash) != 0)
		return false;
	second++;
	second[strcspn(second, "\n")] = '\0';
	free(part->validator);
	part->validator = xstrdup(second);
	return true;
}

/* What is there goes into the hash: it was written by a run that is gone. */
static int take_in(struct part *part, struct err *err)
{
	auto_free char *name = part_name(part);

	progress_stage("reading what is there of %s", part->name);
	return hash_add_file(part->hash, part->fd, name, &part->length, err);
}

int part_open(struct part *part, int dir, const char *name, const char *hash, struct err *err)
{
	*part = (struct part){.dir = dir, .name = name, .fd = -1, .hash = hash_new()};
	if (lock(part, err) == 0 && (read_from(part, hash) || part_restart(part, err) == 0) &&
	    take_in(part, err) == 0)
		return 0;
	part_close(part);
	return -1;
}

void part_close(struct part *part)
{
	cleanup_close(&part->fd);
	hash_free(part->hash);
	free(part->validator);
	*part = (struct part){.fd = -1};
}

int part_set_validator(struct part *part, const char *hash, const char *validator, struct err *err)
{
	auto_free char *name = from_name(part);
	/* One that has no line of its own is as good as none. */
	bool usable = strlen(validator) <= VALIDATOR_MAX && !strpbrk(validator, "\r\n");
	auto_free char *text = xasprintf("%s\n%s\n", hash, usable ? validator : "");

	free(part->validator);
	part->validator = xstrdup(usable ? validator : "");
	return file_write_atomic(part->dir, name, text, strlen(text), 0644, err);
}

int part_add(struct part *part, const void *data, size_t length, struct err *err)
{
	if (file_write_all(part->fd, data, length, err) < 0)
		return err_wrap(err, "%s.part", part->name);
	hash_add(part->hash, data, length);
	part->length += length;
	return 0;
}

int part_restart(struct part *part, struct err *err)
{
	if (ftruncate(part->fd, 0) < 0 || lseek(part->fd, 0, SEEK_SET) < 0)
		return err_sys(err, "empty %s.part", part->name);
	hash_reset(part->hash);
	part->length = 0;
	return 0;
}

void part_hash(struct part *part, char ret_hex[HASH_HEX_SIZE])
{
	struct hash *all = hash_copy(part->hash);

	hash_take(all, ret_hex);
	hash_free(all);
}

int part_finish(struct part *part, struct err *err)
{
	auto_free char *name = part_name(part);
	auto_free char *from = from_name(part);

	if (fsync(part->fd) < 0)
		return err_sys(err, "sync %s", name);
	if (renameat(part->dir, name, part->dir, part->name) < 0)
		return err_sys(err, "rename %s", name);
	(void)unlinkat(part->dir, from, 0);
	return fsync(part->dir) < 0 ? err_sys(err, "sync %s", part->name) : 0;
}

void part_discard(struct part *part)
{
	auto_free char *name = part_name(part);
	auto_free char *from = from_name(part);

	(void)unlinkat(part->dir, from, 0);
	(void)unlinkat(part->dir, name, 0);
}
