#include "agent/share_queue.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void share_queue_init(struct share_queue *queue)
{
	*queue = (struct share_queue){.epoch = 0};
	list_init(&queue->requests);
}

static void drop(struct share_queued *request)
{
	list_remove(&request->link);
	free(request);
}

void share_queue_done(struct share_queue *queue)
{
	list_each(link, tmp, &queue->requests)
		drop(list_entry(link, struct share_queued, link));
}

void share_queue_add(struct share_queue *queue, uint32_t mount, const void *request, size_t length,
		     uint64_t unique, bool expects_reply)
{
	struct share_queued *queued = xmalloc(sizeof(*queued) + length);

	*queued = (struct share_queued){
	    .unique = unique,
	    .mount = mount,
	    .expects_reply = expects_reply,
	    .length = length,
	};
	memcpy(queued->bytes, request, length);
	list_init(&queued->link);
	list_append(&queue->requests, &queued->link);
}

static void check_quiet(struct share_queue *queue)
{
	if (queue->held && !queue->quiesced_said && queue->unanswered == 0 && !queue->in_write) {
		queue->quiesced_due = true;
		queue->quiesced_said = true;
	}
}

void share_queue_hello(struct share_queue *queue, uint64_t nonce)
{
	queue->epoch++;
	queue->nonce = nonce;
	queue->hello_due = true;
	queue->held = false;
	queue->quiesced_due = false;
	queue->unanswered = 0; /* by this server */
}

void share_queue_hold(struct share_queue *queue)
{
	queue->held = true;
	queue->quiesced_said = false;
	check_quiet(queue);
}

void share_queue_go_on(struct share_queue *queue)
{
	queue->held = false;
	queue->quiesced_due = false;
}

bool share_queue_answer(struct share_queue *queue, uint32_t mount, uint64_t unique)
{
	list_each(link, tmp, &queue->requests) {
		struct share_queued *request = list_entry(link, struct share_queued, link);

		if (request->unique != unique || request->mount != mount || request->answered ||
		    request->epoch == 0)
			continue;
		request->answered = true;
		if (request->epoch == queue->epoch)
			queue->unanswered--;
		if (request != queue->in_write)
			drop(request);
		check_quiet(queue);
		return true;
	}
	return false;
}

/* The oldest request that this server was not sent; NULL when there is none. *ret_urgent: it goes
 * now. */
static struct share_queued *oldest(const struct share_queue *queue, bool *ret_urgent)
{
	struct share_queued *first = NULL;
	size_t waiting = 0;

	*ret_urgent = queue->flush;
	list_each(link, tmp, &queue->requests) {
		struct share_queued *request = list_entry(link, struct share_queued, link);

		if (request->epoch == queue->epoch)
			continue;
		if (!first)
			first = request;
		waiting++;
		if (request->expects_reply || waiting == SHARE_QUEUE_WAITING_MAX)
			*ret_urgent = true;
		if (*ret_urgent)
			break;
	}
	return first;
}

bool share_queue_waits(const struct share_queue *queue)
{
	bool urgent;

	return queue->epoch > 0 && !queue->held && oldest(queue, &urgent) && !urgent;
}

void share_queue_flush(struct share_queue *queue)
{
	queue->flush = true;
}

enum share_queue_what share_queue_next(struct share_queue *queue, struct share_queued **ret_request)
{
	struct share_queued *request;
	bool urgent;

	if (queue->hello_due) {
		queue->hello_due = false;
		return SHARE_QUEUE_HELLO;
	}
	if (queue->quiesced_due) {
		queue->quiesced_due = false;
		return SHARE_QUEUE_QUIESCED;
	}
	if (queue->epoch == 0 || queue->held)
		return SHARE_QUEUE_NOTHING;
	request = oldest(queue, &urgent);
	/* Once one goes that waited for company, all do. */
	queue->flush = request && urgent;
	if (!queue->flush)
		return SHARE_QUEUE_NOTHING;
	request->again = request->epoch != 0;
	request->epoch = queue->epoch;
	if (request->expects_reply)
		queue->unanswered++;
	queue->in_write = request;
	*ret_request = request;
	return SHARE_QUEUE_REQUEST;
}

void share_queue_written(struct share_queue *queue)
{
	struct share_queued *request = queue->in_write;

	queue->in_write = NULL;
	if (request && (request->answered || !request->expects_reply))
		drop(request);
	check_quiet(queue);
}

void share_queue_load(const struct share_queue *queue, uint32_t mount, size_t *ret_count,
		      size_t *ret_bytes)
{
	size_t count = 0;
	size_t bytes = 0;

	list_each(link, tmp, &queue->requests) {
		const struct share_queued *request = list_entry(link, struct share_queued, link);

		if (request->mount == mount) {
			count++;
			bytes += request->length;
		}
	}
	*ret_count = count;
	*ret_bytes = bytes;
}
