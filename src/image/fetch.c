/*
 * A fetch is a row of requests, each for what is still missing. The hash over all bytes is the only
 * judge of the result; If-Range spares us a wrong result, it does not vouch for a right one. So a
 * wrong hash of something that was put together from several answers is no verdict yet: it is
 * fetched once more in one piece.
 *
 * A request that gets further than any before it starts the count of tries anew: a bad line costs
 * time, not the file. One that does not, is tried FETCH_TRIES times.
 */
#include "image/fetch.h"

#include "base/buf.h"
#include "base/mem.h"
#include "image/cancel.h"
#include "image/hash.h"
#include "image/http.h"
#include "image/part.h"
#include "image/progress.h"
#include "image/space.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define FETCH_TRIES 5

struct job {
	const struct fetch *fetch;
	struct part part;
	uint64_t total;	   /* of the file, as the server says; 0: unknown */
	uint64_t best;	   /* the furthest that any request got */
	bool pieced;	   /* what is there came by more than one answer */
	bool out_of_place; /* the answer is not what we asked for */
	bool answered;	   /* there is a network */
};

/* Counts a failed try: 0 after a pause when there may be another. */
static int try_again(int *tries, struct err *err)
{
	struct pollfd p = {.fd = cancel_fd(), .events = POLLIN};
	int seconds = 1 << *tries;

	if (++*tries >= FETCH_TRIES)
		return -1;
	progress_note("%s; trying again in %d s", err->text, seconds);
	(void)poll(&p, 1, seconds * 1000);
	return cancel_check(err);
}

static bool is_page(const char *type)
{
	return strncasecmp(type, "text/html", 9) == 0;
}

static int refuse_page(const char *url, struct err *err)
{
	return err_set(err, ERR_INVALID,
		       "%s: the answer is a web page, not the file (does this network want a login "
		       "first?)",
		       url);
}

static int begin_file(void *ctx, const struct http_answer *answer, struct err *err)
{
	struct job *job = ctx;
	struct part *part = &job->part;
	const struct fetch *fetch = job->fetch;

	job->answered = true;
	if (is_page(answer->type))
		return refuse_page(answer->url, err);
	if (answer->status == 206 && (!answer->has_start || answer->start != part->length)) {
		job->out_of_place = true;
		return err_set(err, ERR_PROTOCOL,
			       "%s: the server sends another part than was asked", answer->url);
	}
	if (answer->status == 200 && part->length > 0) {
		progress_note("%s cannot be continued: it has changed or the server cannot; "
			      "beginning anew",
			      fetch->name);
		if (part_restart(part, err) < 0)
			return -1;
	}
	job->pieced = part->length > 0;
	job->total = answer->status == 206 && answer->total ? answer->total
		     : answer->has_length		    ? part->length + answer->length
							    : 0;
	if (job->total > fetch->max)
		return err_set(err, ERR_INVALID, "%s: %llu bytes are more than the %llu allowed",
			       answer->url, (unsigned long long)job->total,
			       (unsigned long long)fetch->max);
	if (job->total > part->length &&
	    space_check(fetch->place, job->total - part->length, err) < 0)
		return -1;
	progress_bytes(part->length, job->total);
	return part_set_validator(part, fetch->hash, answer->validator, err);
}

static int add_to_file(void *ctx, const void *data, size_t length, struct err *err)
{
	struct job *job = ctx;

	if (length > job->fetch->max - job->part.length)
		return err_set(err, ERR_INVALID, "%s: more than the %llu bytes allowed",
			       job->fetch->url, (unsigned long long)job->fetch->max);
	if (part_add(&job->part, data, length, err) < 0) {
		/* How much is missing says more than that something is. */
		if (err->sys == ENOSPC && job->total > job->part.length)
			(void)space_check(job->fetch->place, job->total - job->part.length, err);
		return -1;
	}
	progress_bytes(job->part.length, job->total);
	return 0;
}

static bool is_right(struct job *job)
{
	char is[HASH_HEX_SIZE];

	part_hash(&job->part, is);
	return strcmp(is, job->fetch->hash) == 0;
}

/* All came and the hash is wrong. 0: fetch it again. */
static int judge_wrong(struct job *job, struct err *err)
{
	char is[HASH_HEX_SIZE];

	if (job->pieced) {
		progress_note("%s has the wrong checksum after it was continued; beginning anew",
			      job->fetch->name);
		return part_restart(&job->part, err);
	}
	part_hash(&job->part, is);
	part_discard(&job->part);
	return err_set(
	    err, ERR_INVALID,
	    "%s is damaged or not the right file: its SHA-256 is %s and should be %s; it "
	    "was removed",
	    job->fetch->url, is, job->fetch->hash);
}

/* After an answer that ended: 1 when all is well, 0 to ask again. */
static int judge_answer(struct job *job, enum http_end end, int *tries, struct err *err)
{
	if (end == HTTP_DONE && is_right(job))
		return 1;
	if (job->part.length > job->best) {
		job->best = job->part.length;
		*tries = 0;
	}
	if (end == HTTP_DONE && job->part.length >= job->total)
		return judge_wrong(job, err);
	if (end == HTTP_DONE)
		(void)err_set(err, ERR_PROTOCOL, "%s: the server ended before the file did",
			      job->fetch->url);
	if (end == HTTP_RANGE || job->out_of_place) {
		job->out_of_place = false;
		end = HTTP_AGAIN;
		if (part_restart(&job->part, err) < 0)
			return -1;
	}
	if (end == HTTP_REFUSED || (end == HTTP_UNREACHABLE && !job->answered) ||
	    try_again(tries, err) < 0)
		return -1;
	*err = (struct err)ERR_INIT;
	return 0;
}

static int fetch_parts(struct job *job, struct err *err)
{
	int tries = 0;
	int verdict = is_right(job) ? 1 : 0; /* killed between the last byte and the rename */

	while (verdict == 0) {
		const struct http_request request = {.url = job->fetch->url,
						     .offset = job->part.length,
						     .validator = job->part.validator,
						     .begin = begin_file,
						     .data = add_to_file,
						     .ctx = job};

		if (cancel_check(err) < 0)
			return -1;
		verdict = judge_answer(job, http_get(&request, err), &tries, err);
	}
	return verdict < 0 ? -1 : part_finish(&job->part, err);
}

/* A file with the right name and the wrong content is most likely the beginning of the right one:
 * it becomes the part, unless there is one. */
static void demote(const struct fetch *fetch)
{
	auto_free char *part = xasprintf("%s.part", fetch->name);

	progress_note("%s is there, but not complete or not the right file", fetch->name);
	if (linkat(fetch->dir, fetch->name, fetch->dir, part, 0) == 0)
		(void)unlinkat(fetch->dir, fetch->name, 0);
}

static void say_what_is_kept(const struct job *job, struct err *err)
{
	unsigned long long mib = (unsigned long long)job->part.length >> 20;
	struct stat st;

	if (job->part.length == 0 || fstat(job->part.fd, &st) < 0 || st.st_nlink == 0)
		return;
	if (err->code == ERR_CANCELLED)
		(void)err_set(err, ERR_CANCELLED,
			      "interrupted; %llu MiB of %s are kept, the next run goes on there",
			      mib, job->fetch->name);
	else
		progress_note("%llu MiB of %s are kept, the next run goes on there", mib,
			      job->fetch->name);
}

int fetch_file(const struct fetch *fetch, struct err *err)
{
	struct job job = {.fetch = fetch};
	int there = fetch_has(fetch->dir, fetch->name, fetch->hash, err);

	if (there != 0)
		return there < 0 ? -1 : 0;
	if (faccessat(fetch->dir, fetch->name, F_OK, 0) == 0)
		demote(fetch);
	if (part_open(&job.part, fetch->dir, fetch->name, fetch->hash, err) < 0)
		return -1;
	job.best = job.part.length;
	/* Whoever we waited for may have made it. */
	there = fetch_has(fetch->dir, fetch->name, fetch->hash, err);
	if (there > 0) {
		part_discard(&job.part);
	} else if (there == 0) {
		progress_stage("downloading %s", fetch->name);
		there = fetch_parts(&job, err);
		if (there < 0)
			say_what_is_kept(&job, err);
	}
	part_close(&job.part);
	return there < 0 ? -1 : 0;
}

int fetch_has(int dir, const char *name, const char *hash, struct err *err)
{
	auto_close int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char is[HASH_HEX_SIZE];
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "%s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s is not a regular file", name);
	struct hash *sum = hash_new();
	progress_stage("checking %s", name);
	int result = hash_add_file(sum, fd, name, NULL, err);
	hash_take(sum, is);
	hash_free(sum);
	return result < 0 ? -1 : strcmp(is, hash) == 0;
}

struct text {
	struct buf content;
	char *url;
};

static int begin_text(void *ctx, const struct http_answer *answer, struct err *err)
{
	struct text *text = ctx;

	if (is_page(answer->type))
		return refuse_page(answer->url, err);
	buf_clear(&text->content);
	free(text->url);
	text->url = xstrdup(answer->url);
	return 0;
}

static int add_to_text(void *ctx, const void *data, size_t length, struct err *err)
{
	struct text *text = ctx;

	if (memchr(data, '\0', length))
		return err_set(err, ERR_INVALID, "%s: no text", text->url);
	if (buf_append(&text->content, data, length) < 0)
		return err_set(err, ERR_INVALID, "%s: larger than %zu bytes", text->url,
			       text->content.max);
	return 0;
}

int fetch_text(const char *url, size_t max, char **ret_text, char **ret_url, bool *ret_offline,
	       struct err *err)
{
	struct text text = {0};
	const struct http_request request = {
	    .url = url, .begin = begin_text, .data = add_to_text, .ctx = &text};
	enum http_end end;
	int tries = 0;

	buf_init(&text.content, max);
	do {
		*err = (struct err)ERR_INIT;
		end = cancel_check(err) < 0 ? HTTP_REFUSED : http_get(&request, err);
	} while (end == HTTP_AGAIN && try_again(&tries, err) == 0);
	if (ret_offline)
		*ret_offline = end == HTTP_UNREACHABLE;
	if (end == HTTP_DONE) {
		*ret_text = buf_take_string(&text.content);
		*ret_url = take_ptr(&text.url);
	}
	buf_done(&text.content);
	free(text.url);
	return end == HTTP_DONE ? 0 : -1;
}
