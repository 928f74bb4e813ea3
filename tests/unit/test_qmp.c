/* The QMP client against a peer that is played by the test, byte by byte. */
#include "test.h"

#include "base/cleanup.h"
#include "vm/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

#define GREETING                                                                                   \
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}}, "         \
	"\"capabilities\": [\"oob\"]}}\r\n"

struct rig {
	uv_loop_t loop;
	struct qmp *qmp;
	int peer;
	char sent[8192]; /* what the client wrote */
	size_t sent_length;
	int ready;
	int events;
	char event[64];
	char reason[64];
	int closed;
	enum err_code closed_code;
	char closed_text[512];
	int answers;
	int failures;
	char status[64];
	char failure[512];
	bool close_in_answer;
};

static void on_ready(void *ctx)
{
	((struct rig *)ctx)->ready++;
}

static void on_event(void *ctx, const char *name, const struct qmp_data *data)
{
	struct rig *rig = ctx;

	rig->events++;
	(void)snprintf(rig->event, sizeof(rig->event), "%s", name);
	(void)snprintf(rig->reason, sizeof(rig->reason), "%s", qmp_string(data, "reason"));
}

static void on_closed(void *ctx, const struct err *why)
{
	struct rig *rig = ctx;

	rig->closed++;
	rig->closed_code = why->code;
	(void)snprintf(rig->closed_text, sizeof(rig->closed_text), "%s", why->text);
}

static void on_answer(void *ctx, const struct qmp_data *data, const struct err *error)
{
	struct rig *rig = ctx;

	rig->answers++;
	if (error) {
		rig->failures++;
		(void)snprintf(rig->failure, sizeof(rig->failure), "%s", error->text);
	} else {
		(void)snprintf(rig->status, sizeof(rig->status), "%s", qmp_string(data, "status"));
	}
	if (rig->close_in_answer)
		qmp_close(take_ptr(&rig->qmp));
}

static const struct qmp_events events = {.ready = on_ready, .event = on_event, .closed = on_closed};

static void rig_init(struct rig *rig)
{
	struct err err = ERR_INIT;
	int ends[2];

	*rig = (struct rig){.peer = -1};
	if (uv_loop_init(&rig->loop) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		abort();
	rig->peer = ends[1];
	(void)fcntl(rig->peer, F_SETFL, O_NONBLOCK);
	if (qmp_open(&rig->loop, ends[0], &events, rig, &rig->qmp, &err) != 0)
		abort();
}

static void rig_done(struct rig *rig)
{
	qmp_close(rig->qmp);
	(void)uv_run(&rig->loop, UV_RUN_DEFAULT);
	CHECK_INT(uv_loop_close(&rig->loop), 0);
	cleanup_close(&rig->peer);
}
#define auto_rig CLEANUP(rig_done)

/* Lets the client handle all that is there now, and takes what it wrote. Both ends are in this
 * process, so once nothing more is ready, nothing more will come. */
static void settle(struct rig *rig)
{
	for (int quiet = 0; quiet < 3; quiet++) {
		ssize_t n;

		(void)uv_run(&rig->loop, UV_RUN_NOWAIT);
		if (rig->peer < 0)
			continue;
		n = read(rig->peer, rig->sent + rig->sent_length,
			 sizeof(rig->sent) - 1 - rig->sent_length);
		if (n > 0) {
			rig->sent_length += (size_t)n;
			rig->sent[rig->sent_length] = '\0';
			quiet = -1;
		}
	}
}

static void say(struct rig *rig, const char *text)
{
	if (write(rig->peer, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	settle(rig);
}

static void shake_hands(struct rig *rig)
{
	say(rig, GREETING);
	say(rig, "{\"return\": {}, \"id\": 1}\r\n");
}

static void query(struct rig *rig)
{
	struct err err = ERR_INIT;

	CHECK(qmp_send(rig->qmp, "query-status", NULL, on_answer, rig, &err) == 0);
	settle(rig);
}

static void capabilities_are_sent_after_the_greeting_and_not_before(void)
{
	auto_rig struct rig rig;

	rig_init(&rig);
	settle(&rig);
	CHECK_STR(rig.sent, "");
	say(&rig, GREETING);
	CHECK_STR(rig.sent, "{\"execute\":\"qmp_capabilities\",\"id\":1}\n");
	CHECK_INT(rig.ready, 0);
	say(&rig, "{\"return\": {}, \"id\": 1}\r\n");
	CHECK_INT(rig.ready, 1);
}

static void commands_sent_before_the_handshake_wait_for_it(void)
{
	auto_rig struct rig rig;

	rig_init(&rig);
	query(&rig);
	CHECK_STR(rig.sent, "");
	say(&rig, GREETING);
	CHECK(strstr(rig.sent, "query-status") == NULL);
	say(&rig, "{\"return\": {}, \"id\": 2}\r\n");
	CHECK(strstr(rig.sent, "\"query-status\",\"id\":1}\n") != NULL);
	say(&rig, "{\"return\": {\"status\": \"running\"}, \"id\": 1}\r\n");
	CHECK_INT(rig.answers, 1);
	CHECK_STR(rig.status, "running");
}

static void an_error_reply_reaches_its_command_with_qemus_words(void)
{
	auto_rig struct rig rig;

	rig_init(&rig);
	shake_hands(&rig);
	query(&rig);
	say(&rig, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no \\u001b[31m such\"}, "
		  "\"id\": 2}\r\n");
	CHECK_INT(rig.failures, 1);
	CHECK_STR(rig.failure, "QEMU says: no \\x1b[31m such");
	CHECK_INT(rig.closed, 0);
}

static void answers_find_their_commands_in_any_order(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;
	struct rig other = {.peer = -1};

	rig_init(&rig);
	shake_hands(&rig);
	query(&rig);
	CHECK(qmp_send(rig.qmp, "stop", NULL, on_answer, &other, &err) == 0);
	settle(&rig);
	say(&rig, "{\"return\": {}, \"id\": 3}\r\n");
	CHECK_INT(other.answers, 1);
	CHECK_INT(rig.answers, 0);
	say(&rig, "{\"return\": {\"status\": \"paused\"}, \"id\": 2}\r\n");
	CHECK_STR(rig.status, "paused");
}

static void bytes_may_come_one_by_one(void)
{
	static const char talk[] = GREETING "{\"return\": {}, \"id\": 1}\r\n"
					    "{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": "
					    "\"guest-shutdown\"}}\r\n";
	auto_rig struct rig rig;

	rig_init(&rig);
	for (size_t i = 0; talk[i]; i++) {
		const char one[2] = {talk[i], '\0'};

		say(&rig, one);
	}
	CHECK_INT(rig.ready, 1);
	CHECK_STR(rig.event, "SHUTDOWN");
	CHECK_STR(rig.reason, "guest-shutdown");
	CHECK_INT(rig.closed, 0);
}

static void unknown_events_and_events_without_data_are_harmless(void)
{
	auto_rig struct rig rig;

	rig_init(&rig);
	shake_hands(&rig);
	say(&rig, "{\"event\": \"FROM_THE_FUTURE\"}\r\n{\"event\": \"ODD\", \"data\": 7}\r\n");
	CHECK_INT(rig.events, 2);
	CHECK_STR(rig.event, "ODD");
	CHECK_STR(rig.reason, "");
	CHECK_INT(rig.closed, 0);
}

static void the_end_after_the_greeting_answers_what_waits(void)
{
	auto_rig struct rig rig;

	rig_init(&rig);
	query(&rig);
	say(&rig, GREETING);
	(void)close(take_fd(&rig.peer));
	settle(&rig);
	CHECK_INT(rig.closed, 1);
	CHECK_INT(rig.closed_code, ERR_SYSTEM);
	CHECK_INT(rig.failures, 1);
	CHECK_INT(rig.ready, 0);
}

static void sending_on_a_link_that_is_over_is_an_error(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig);
	(void)close(take_fd(&rig.peer));
	settle(&rig);
	CHECK_INT(rig.closed, 1);
	CHECK(qmp_send(rig.qmp, "cont", NULL, NULL, NULL, &err) < 0);
	CHECK_INT(err.code, ERR_PROTOCOL);
}

static void protocol_errors_end_the_link(void)
{
	static const char *const bad[] = {
	    "garbage\n",
	    "[]\n",
	    "\n",
	    "{}\n",
	    "{\"return\": {}, \"id\": 1}\n",
	    "{\"event\": \"BEFORE_THE_GREETING\"}\n",
	    GREETING GREETING,
	    GREETING "{\"return\": {}, \"id\": 9}\n",
	    GREETING "{\"return\": {}}\n",
	    GREETING "{\"event\": 5}\n",
	    GREETING "{\"error\": \"text\"}\n",
	    GREETING "\xff\xfe\n",
	    GREETING "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_rig struct rig rig;

		rig_init(&rig);
		say(&rig, bad[i]);
		CHECK_INT(rig.closed, 1);
		CHECK_INT(rig.closed_code, ERR_PROTOCOL);
	}
}

static void a_line_without_end_ends_the_link(void)
{
	auto_rig struct rig rig;
	static char piece[4097];
	size_t total = 0;

	memset(piece, ' ', sizeof(piece) - 1);
	rig_init(&rig);
	while (!rig.closed && total < 4 * QMP_LINE_MAX) {
		say(&rig, piece);
		total += sizeof(piece) - 1;
	}
	CHECK_INT(rig.closed, 1);
	CHECK(total <= QMP_LINE_MAX + sizeof(piece));
	CHECK(strstr(rig.closed_text, "a line without end") != NULL);
}

static void a_peer_that_never_answers_cannot_make_us_grow(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;
	int sent = 0;

	rig_init(&rig);
	while (sent < 100000 && qmp_send(rig.qmp, "cont", NULL, NULL, NULL, &err) == 0)
		sent++;
	CHECK(sent < 1000);
	CHECK_INT(err.code, ERR_BUSY);
}

static void arguments_must_be_one_object(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig);
	shake_hands(&rig);
	CHECK(qmp_send(rig.qmp, "x", "{}, \"execute\": \"quit\"", NULL, NULL, &err) < 0);
	CHECK_INT(err.code, ERR_INVALID);
	CHECK(qmp_send(rig.qmp, "balloon", "{\"value\": 5}", NULL, NULL, &err) == 0);
	settle(&rig);
	CHECK(strstr(rig.sent,
		     "{\"execute\":\"balloon\",\"id\":2,\"arguments\":{\"value\": 5}}\n") != NULL);
}

static void closing_inside_a_callback_is_the_last_of_it(void)
{
	auto_rig struct rig rig;

	rig_init(&rig);
	shake_hands(&rig);
	query(&rig);
	query(&rig);
	rig.close_in_answer = true;
	say(&rig, "{\"return\": {}, \"id\": 2}\r\n{\"return\": {}, \"id\": 3}\r\n");
	CHECK_INT(rig.answers, 1);
	CHECK_INT(rig.closed, 0);
}

static void members_are_found_by_path_and_type(void)
{
	static const char text[] = "{\"return\": {\"ram\": {\"transferred\": 42, \"on\": true}}}";
	struct err err = ERR_INIT;
	struct qmp_line line;

	CHECK(qmp_line_parse(text, strlen(text), &line, &err) == 0);
	CHECK_INT(line.kind, QMP_RETURN);
	CHECK_INT(qmp_integer(line.data, "return.ram.transferred", -1), 42);
	CHECK_INT(qmp_integer(line.data, "return.ram.on", -1), -1);
	CHECK_INT(qmp_integer(line.data, "return.ram.transferred.more", -1), -1);
	CHECK(qmp_bool(line.data, "return.ram.on"));
	CHECK_STR(qmp_string(line.data, "return.ram"), "");
	qmp_line_done(&line);
}

TEST_MAIN(TEST(capabilities_are_sent_after_the_greeting_and_not_before),
	  TEST(commands_sent_before_the_handshake_wait_for_it),
	  TEST(an_error_reply_reaches_its_command_with_qemus_words),
	  TEST(answers_find_their_commands_in_any_order), TEST(bytes_may_come_one_by_one),
	  TEST(unknown_events_and_events_without_data_are_harmless),
	  TEST(the_end_after_the_greeting_answers_what_waits),
	  TEST(sending_on_a_link_that_is_over_is_an_error), TEST(protocol_errors_end_the_link),
	  TEST(a_line_without_end_ends_the_link),
	  TEST(a_peer_that_never_answers_cannot_make_us_grow), TEST(arguments_must_be_one_object),
	  TEST(closing_inside_a_callback_is_the_last_of_it),
	  TEST(members_are_found_by_path_and_type))
