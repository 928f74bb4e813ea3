/* What the guest's end of the share knows of the host, and what its kernel is told. */
#include "agent/share_along.h"
#include "agent/share_names.h"
#include "agent/share_notify.h"
#include "base/file.h"
#include "base/mem.h"
#include "unit/test.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Opcodes of FUSE. */
enum { LOOKUP = 1, SYMLINK = 6, MKNOD = 8, MKDIR = 9, RENAME = 12, LINK = 13 };

/* The answer to a request that share_along has: the last byte of what was put, 0 for none. */
static int answer(struct share_along *along, uint32_t opcode, uint64_t node, uint64_t now_ms)
{
	uint8_t request[40] = {0};
	uint8_t reply[SHARE_ALONG_REPLY];
	uint32_t length;

	memcpy(request + 4, &opcode, sizeof(opcode));
	request[8] = 77;
	memcpy(request + 16, &node, sizeof(node));
	if (!share_along_answer(along, request, now_ms, reply))
		return 0;
	memcpy(&length, reply, sizeof(length));
	CHECK_INT(length, sizeof(reply));
	CHECK_INT(reply[4], 0);
	CHECK_INT(reply[8], 77);
	return reply[sizeof(reply) - 1];
}

static void put_along(struct share_along *along, uint64_t node, uint8_t mark, uint64_t now_ms)
{
	uint8_t payload[SHARE_ALONG_SIZE] = {0};

	memcpy(payload, &node, sizeof(node));
	payload[sizeof(payload) - 1] = mark;
	share_along_put(along, payload, now_ms);
}

static void what_came_along_is_answered_until_it_may_have_changed(void)
{
	enum { GETATTR = 3, READDIR = 28 };
	struct share_along along = {.life = 0};

	share_along_init(&along);
	CHECK_INT(answer(&along, GETATTR, 5, 0), 0);
	put_along(&along, 5, 50, 0);
	put_along(&along, 6, 60, 0);
	CHECK_INT(answer(&along, GETATTR, 5, 1), 50);
	CHECK_INT(answer(&along, LOOKUP, 5, 1), 0);
	CHECK_INT(answer(&along, READDIR, 5, 1), 0);
	CHECK_INT(answer(&along, GETATTR, 5 + SHARE_ALONG_SLOTS, 1), 0);
	CHECK_INT(answer(&along, GETATTR, 5, SHARE_ALONG_MS - 1), 50);
	CHECK_INT(answer(&along, GETATTR, 5, SHARE_ALONG_MS), 0);
	/* A change in one directory says nothing of another; a renaming has two. */
	CHECK_INT(answer(&along, MKNOD, 5, 1), 0);
	CHECK_INT(answer(&along, GETATTR, 5, 1), 0);
	CHECK_INT(answer(&along, GETATTR, 6, 1), 60);
	put_along(&along, 5, 51, 1);
	CHECK_INT(answer(&along, GETATTR, 5, 1), 51);
	CHECK_INT(answer(&along, RENAME, 5, 1), 0);
	CHECK_INT(answer(&along, GETATTR, 6, 1), 0);
	put_along(&along, 6, 61, 1);
	share_along_forget(&along); /* a notification */
	CHECK_INT(answer(&along, GETATTR, 6, 1), 0);
}

/* Shows a request to share_names. Whether it answered that there is no such name. */
static bool names_say_no(struct share_names *names, uint32_t opcode, uint64_t node, size_t fixed,
			 const char *name, uint64_t unique)
{
	uint8_t request[512] = {0};
	uint8_t reply[SHARE_NAMES_REPLY];
	uint32_t size;
	uint64_t value;

	memcpy(request + 4, &opcode, sizeof(opcode));
	memcpy(request + 8, &unique, sizeof(unique));
	memcpy(request + 16, &node, sizeof(node));
	(void)snprintf((char *)request + 40 + fixed, sizeof(request) - 40 - fixed, "%s", name);
	if (!share_names_answer(names, request, sizeof(request), reply))
		return false;
	memcpy(&size, reply, sizeof(size));
	CHECK_INT(size, sizeof(reply));
	memcpy(&value, reply + 8, sizeof(value));
	CHECK_INT(value, unique);
	memcpy(&value, reply + 16, sizeof(value)); /* nodeid */
	CHECK_INT(value, 0);
	memcpy(&value, reply + 32, sizeof(value)); /* entry_valid */
	CHECK_INT(value, 3600);
	return true;
}

static bool asks(struct share_names *names, uint64_t node, const char *name)
{
	return !names_say_no(names, LOOKUP, node, 0, name, 4);
}

static void say_empty(struct share_names *names, uint64_t unique, uint64_t node)
{
	share_names_empty(names, (const uint8_t *)(uint64_t[]){unique, node, 3600});
}

static void what_was_not_made_in_an_empty_directory_is_not_asked_for(void)
{
	struct share_names *names = xcalloc(1, sizeof(*names));
	char name[NAME_MAX + 2] = {0};
	unsigned asked = 0;

	share_names_init(names);
	say_empty(names, 2, 5); /* nobody asked */
	CHECK(!names_say_no(names, LOOKUP, 5, 0, "a", 2));
	CHECK(asks(names, 5, "a"));
	say_empty(names, 3, 5); /* another LOOKUP's */
	CHECK(asks(names, 5, "a"));
	(void)names_say_no(names, MKNOD, 5, 16, "made before the answer", 6);
	say_empty(names, 2, 5);
	CHECK(!asks(names, 5, "a"));
	CHECK(asks(names, 5, "made before the answer"));
	(void)names_say_no(names, MKDIR, 5, 8, "directory", 6);
	(void)names_say_no(names, SYMLINK, 5, 0, "link", 6);
	(void)names_say_no(names, LINK, 5, 8, "hard link", 6);
	CHECK(asks(names, 5, "directory") && asks(names, 5, "link") && asks(names, 5, "hard link"));
	CHECK(!asks(names, 5, "a") && !asks(names, 5, ""));
	memset(name, 'n', NAME_MAX + 1);
	CHECK(asks(names, 5, name)); /* ENAMETOOLONG, says the host */
	name[NAME_MAX] = '\0';
	CHECK(!asks(names, 5, name));
	/* Nearly always, however many were made. */
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "file %d", i);
		asked += asks(names, 5, name);
		(void)names_say_no(names, MKNOD, 5, 16, name, 6);
		CHECK(asks(names, 5, name));
	}
	CHECK(asked < 150);
	free(names);
}

static void an_empty_directory_is_asked_for_again_after_news_and_renamings(void)
{
	struct share_names *names = xcalloc(1, sizeof(*names));
	uint64_t nodes[] = {5, 6, 7};

	share_names_init(names);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
			CHECK(!names_say_no(names, LOOKUP, nodes[i], 0, "a", 2));
			say_empty(names, 2, nodes[i]);
			CHECK(!asks(names, nodes[i], "a"));
		}
		if (round == 0) {
			/* From 5 to 6: the new directory's number is the first of the body. */
			(void)names_say_no(names, RENAME, 5, 0, "\6", 6);
			CHECK(asks(names, 5, "a") && asks(names, 6, "a"));
			CHECK(!asks(names, 7, "a"));
		}
		share_names_forget(names);
		for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
			CHECK(asks(names, nodes[i], "a"));
		share_names_forget(names);
	}
	/* Another directory in the same place. */
	CHECK(!names_say_no(names, LOOKUP, 5, 0, "a", 2));
	say_empty(names, 2, 5);
	CHECK(asks(names, 5 + SHARE_NAMES_SLOTS, "a"));
	CHECK(asks(names, 5, "a"));
	free(names);
}

static size_t waiting(struct share_notify *notify)
{
	size_t count;

	(void)pthread_mutex_lock(&notify->lock);
	count = notify->count;
	(void)pthread_mutex_unlock(&notify->lock);
	return count;
}

/* As the kernel where somebody has the lock of what it is told of: a pipe that is full. */
static void who_waits_to_be_told_holds_up_nobody_else(void)
{
	struct share_notify notify;
	pthread_t threads[SHARE_NOTIFY_THREADS];
	uint64_t told[3] = {24, 0, 5};
	uint64_t read_back[3] = {0};
	char filling[4096] = {0};
	int blocked[2];
	int open_[2];
	struct err err = ERR_INIT;

	CHECK_INT(pipe(blocked), 0);
	CHECK_INT(pipe(open_), 0);
	CHECK_INT(file_set_nonblock(blocked[1], true, &err), 0);
	while (write(blocked[1], filling, sizeof(filling)) > 0)
		continue;
	CHECK_INT(file_set_nonblock(blocked[1], false, &err), 0);
	(void)signal(SIGPIPE, SIG_IGN);
	share_notify_init(&notify);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		CHECK_INT(pthread_create(&threads[i], NULL, share_notify_thread, &notify), 0);
	/* More of one directory than there are threads. */
	for (size_t i = 0; i < 2 * ARRAY_SIZE(threads); i++)
		share_notify_add(&notify, blocked[1], (uint8_t *)told, sizeof(told));
	told[2] = 6;
	share_notify_add(&notify, open_[1], (uint8_t *)told, sizeof(told));
	CHECK_INT(read(open_[0], read_back, sizeof(read_back)), sizeof(read_back));
	CHECK_INT(read_back[2], 6);
	(void)close(blocked[0]); /* lets go of who waits */
	while (waiting(&notify) > 0)
		(void)usleep(1000);
	share_notify_end(&notify);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		CHECK_INT(pthread_join(threads[i], NULL), 0);
	(void)close(blocked[1]);
	(void)close(open_[0]);
	(void)close(open_[1]);
}

TEST_MAIN(TEST(what_came_along_is_answered_until_it_may_have_changed),
	  TEST(what_was_not_made_in_an_empty_directory_is_not_asked_for),
	  TEST(an_empty_directory_is_asked_for_again_after_news_and_renamings),
	  TEST(who_waits_to_be_told_holds_up_nobody_else))
