#include "supervisor/agent_link.h"

#include "base/log.h"
#include "base/mem.h"
#include "supervisor/link.h"

#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000u

enum request_id {
	REQUEST_CONFIGURE = 1,
	REQUEST_SHUTDOWN = 2,
};

struct agent_link {
	struct link *link;
	const struct message_configure *configure;
	const struct agent_link_events *events;
	void *ctx;
	bool ready;
};

static uint64_t wall_clock_ns(void)
{
	struct timespec now = {.tv_sec = 0};

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
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
	agent->events->hello(agent->ctx, hello);
	if (message_configure_encode(&configure, &payload) < 0 ||
	    mux_request(mux, REQUEST_CONFIGURE, PROTO_CONFIGURE, buf_data(&payload),
			buf_length(&payload)) < 0)
		agent->events->refused(agent->ctx, "the configuration does not fit into a message");
}

static void on_reply(void *ctx, uint32_t id, uint32_t code, const uint8_t *payload, size_t length)
{
	struct agent_link *agent = ctx;

	if (id == REQUEST_CONFIGURE && !agent->ready) {
		auto_free char *text = xstrndup((const char *)payload, length);

		agent->ready = code == PROTO_OK;
		if (agent->ready)
			agent->events->ready(agent->ctx);
		else
			agent->events->refused(agent->ctx, text);
	} else if (id == REQUEST_SHUTDOWN) {
		agent->events->stopped(agent->ctx);
	}
}

static void on_goaway(void *ctx, uint32_t code, const char *text)
{
	(void)ctx;
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
				  const struct message_configure *configure,
				  const struct agent_link_events *events, void *ctx)
{
	struct agent_link *agent = xcalloc(1, sizeof(*agent));
	struct mux *mux = mux_new(MUX_HOST, &agent_events, agent);
	struct mux_hello hello = {.program = "dxvm " DXVM_VERSION};

	*agent = (struct agent_link){.configure = configure, .events = events, .ctx = ctx};
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
	free(agent);
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
