#include "supervisor/agent_link.h"

#include "base/log.h"
#include "base/mem.h"
#include "supervisor/link.h"
#include "wire/msg.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#define NS_PER_S 1000000000u

enum request_id {
	REQUEST_CONFIGURE = 1,
	REQUEST_SHUTDOWN = 2,
	REQUEST_QUIESCE = 3,
	REQUEST_RESUMED = 4,
	REQUEST_ACTIVITY = 5,
};

struct agent_link {
	struct link *link;
	const struct message_configure *configure;
	const struct agent_link_events *events;
	void *ctx;
	bool ready;
	bool resumed; /* the next HELLO is that of an agent which goes on */
	bool quiescing;
	bool asking;	    /* for activity, without an answer yet */
	char *rest_failure; /* what its answer was, if it was no */
};

static uint64_t wall_clock_ns(void)
{
	struct timespec now = {.tv_sec = 0};

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int say_resumed(const struct agent_link *agent)
{
	uint8_t entropy[sizeof(agent->configure->entropy)];
	auto_buf struct buf payload;

	buf_init(&payload, PROTO_MESSAGE_MAX);
	if (getentropy(entropy, sizeof(entropy)) < 0 ||
	    msg_write_u64(&payload, wall_clock_ns()) < 0 ||
	    buf_append(&payload, entropy, sizeof(entropy)) < 0)
		return -1;
	return mux_request(link_mux(agent->link), REQUEST_RESUMED, PROTO_RESUMED,
			   buf_data(&payload), buf_length(&payload));
}

static void on_hello(void *ctx, const struct mux_hello *hello)
{
	struct agent_link *agent = ctx;
	struct mux *mux = link_mux(agent->link);
	struct message_configure configure = *agent->configure;
	auto_buf struct buf payload;

	buf_init(&payload, PROTO_MESSAGE_MAX);
	/* The guest sets its clock by this: what it was when the machine started is seconds old. */
	configure.time_ns = wall_clock_ns();
	agent->ready = false;
	/* An agent that was restarted knows nothing of what it was asked. */
	if (agent->quiescing)
		agent->events->not_at_rest(agent->ctx);
	agent->quiescing = false;
	agent->asking = false;
	free(take_ptr(&agent->rest_failure));
	agent->events->hello(agent->ctx, hello);
	if (agent->resumed) {
		agent->resumed = false;
		if (say_resumed(agent) < 0)
			agent->events->refused(agent->ctx, "no random bytes");
		return;
	}
	if (message_configure_encode(&configure, &payload) < 0 ||
	    mux_request(mux, REQUEST_CONFIGURE, PROTO_CONFIGURE, buf_data(&payload),
			buf_length(&payload)) < 0)
		agent->events->refused(agent->ctx, "the configuration does not fit into a message");
}

static void on_reply(void *ctx, uint32_t id, uint32_t code, const uint8_t *payload, size_t length)
{
	struct agent_link *agent = ctx;

	if ((id == REQUEST_CONFIGURE || id == REQUEST_RESUMED) && !agent->ready) {
		auto_free char *text = xstrndup((const char *)payload, length);

		agent->ready = code == PROTO_OK;
		if (agent->ready)
			agent->events->ready(agent->ctx);
		else
			agent->events->refused(agent->ctx, text);
	} else if (id == REQUEST_SHUTDOWN) {
		agent->events->stopped(agent->ctx);
	} else if (id == REQUEST_QUIESCE && code != PROTO_OK) {
		free(agent->rest_failure);
		agent->rest_failure = xstrndup((const char *)payload, length);
	} else if (id == REQUEST_ACTIVITY) {
		struct msg_reader reader;

		agent->asking = false;
		if (code != PROTO_OK)
			return;
		msg_read_from(&reader, payload, length);
		agent->events->activity(agent->ctx, msg_read_u64(&reader));
	}
}

static void on_goaway(void *ctx, uint32_t code, const char *text)
{
	struct agent_link *agent = ctx;

	if (code == PROTO_OK && agent->quiescing)
		agent->events->at_rest(agent->ctx, agent->rest_failure);
	else
		log_warn("agent", "goes away (%u): %s", code, text);
}

static const struct mux_events agent_events = {
    .hello = on_hello,
    .reply = on_reply,
    .goaway = on_goaway,
};

static void on_down(void *ctx, enum link_end end, const char *why)
{
	struct agent_link *agent = ctx;

	link_free(take_ptr(&agent->link));
	agent->ready = false;
	agent->events->lost(agent->ctx, end == LINK_BROKEN, why);
}

struct agent_link *agent_link_new(uv_loop_t *loop, int fd,
				  const struct message_configure *configure, bool resumed,
				  const struct agent_link_events *events, void *ctx)
{
	struct agent_link *agent = xcalloc(1, sizeof(*agent));
	struct mux *mux = mux_new(MUX_HOST, &agent_events, agent);
	struct mux_hello hello = {.program = "dxvm " DXVM_VERSION};

	*agent = (struct agent_link){
	    .configure = configure, .resumed = resumed, .events = events, .ctx = ctx};
	mux_allow_resync(mux);
	mux_start(mux, &hello, false);
	agent->link = link_new(loop, fd, mux, on_down, agent);
	return agent;
}

void agent_link_free(struct agent_link *agent)
{
	if (!agent)
		return;
	link_free(agent->link);
	free(agent->rest_failure);
	free(agent);
}

bool agent_link_quiesce(struct agent_link *agent)
{
	struct mux *mux = agent_link_mux(agent);

	if (!mux || mux_request(mux, REQUEST_QUIESCE, PROTO_QUIESCE, NULL, 0) < 0)
		return false;
	agent->quiescing = true;
	mux_goaway(mux, PROTO_OK, "to be suspended");
	return true;
}

int agent_link_release(struct agent_link *agent)
{
	int fd = agent->link ? link_dup(agent->link) : -1;

	agent_link_free(agent);
	return fd;
}

bool agent_link_ask_activity(struct agent_link *agent)
{
	struct mux *mux = agent_link_mux(agent);

	if (mux && !agent->asking)
		agent->asking = mux_request(mux, REQUEST_ACTIVITY, PROTO_ACTIVITY, NULL, 0) == 0;
	return mux && agent->asking;
}

struct mux *agent_link_mux(struct agent_link *agent)
{
	return agent && agent->link && agent->ready ? link_mux(agent->link) : NULL;
}

bool agent_link_shutdown(struct agent_link *agent)
{
	struct mux *mux = agent_link_mux(agent);

	return mux && mux_request(mux, REQUEST_SHUTDOWN, PROTO_SHUTDOWN, NULL, 0) == 0;
}
