#include "unit/test.h"
#include "wire/message.h"
#include "wire/msg.h"
#include "wire/proto.h"

static char sh[] = "sh", dash_c[] = "-c", script[] = "exit \xff\n7";
static char *arguments[] = {sh, dash_c, script, NULL};
static char term[] = "TERM=xterm", odd[] = "A==b=", nothing[] = "EMPTY=";
static char *environment[] = {term, odd, nothing, NULL};
static char user[] = "me", cwd[] = "/home/me/devbox/x";

static const struct message_session a_session = {
    .tty = true,
    .login = true,
    .rows = 24,
    .columns = 80,
    .width = 640,
    .height = 65535,
    .user = user,
    .cwd = cwd,
    .arguments = arguments,
    .environment = environment,
};

static void encode_session(struct buf *buf, const struct message_session *session)
{
	buf_init(buf, PROTO_OPEN_MAX);
	CHECK_INT(message_session_encode(session, buf), 0);
}

static int decode_session(const struct buf *buf, size_t length, struct err *err)
{
	struct message_session session;
	int result = message_session_decode(&session, buf_data(buf), length, err);

	if (result < 0)
		CHECK(!session.user && !session.arguments && !session.environment);
	message_session_done(&session);
	return result;
}

static void a_session_comes_back_whole(void)
{
	auto_buf struct buf buf;
	struct message_session session;
	struct err err;

	encode_session(&buf, &a_session);
	CHECK_INT(message_session_decode(&session, buf_data(&buf), buf_length(&buf), &err), 0);
	CHECK(session.tty && session.login);
	CHECK_INT(session.rows, 24);
	CHECK_INT(session.columns, 80);
	CHECK_INT(session.width, 640);
	CHECK_INT(session.height, 65535);
	CHECK_STR(session.user, "me");
	CHECK_STR(session.cwd, "/home/me/devbox/x");
	CHECK_STR(session.arguments[2], "exit \xff\n7");
	CHECK(session.arguments[3] == NULL);
	CHECK_STR(session.environment[1], "A==b=");
	CHECK(session.environment[3] == NULL);
	message_session_done(&session);
	CHECK(!session.user);
	message_session_done(&session);
}

static void null_fields_travel_as_empty_ones(void)
{
	const struct message_session empty = {.tty = false};
	auto_buf struct buf buf;
	struct message_session session;
	struct err err;

	encode_session(&buf, &empty);
	CHECK_INT(buf_length(&buf), 2 + 8 + 4 * 4);
	CHECK_INT(message_session_decode(&session, buf_data(&buf), buf_length(&buf), &err), 0);
	CHECK_STR(session.user, "");
	CHECK(session.arguments && !session.arguments[0]);
	message_session_done(&session);
}

static void a_cut_session_is_refused_and_later_fields_are_ignored(void)
{
	auto_buf struct buf buf;
	struct err err;

	encode_session(&buf, &a_session);
	for (size_t length = 0; length < buf_length(&buf); length++) {
		CHECK_INT(decode_session(&buf, length, &err), -1);
		CHECK_INT(err.code, ERR_PROTOCOL);
	}
	(void)buf_append_string(&buf, "later fields");
	CHECK_INT(decode_session(&buf, buf_length(&buf), &err), 0);
}

static void how_a_session_is_left_may_be_missing_or_unknown(void)
{
	for (uint8_t value = 0; value < PROTO_DETACH_COUNT + 2; value++) {
		struct message_session wanted = a_session;
		struct message_session session;
		auto_buf struct buf buf;
		struct err err;

		wanted.detach =
		    value < PROTO_DETACH_COUNT ? (enum proto_detach)value : PROTO_DETACH_NEVER;
		encode_session(&buf, &wanted);
		if (value >= PROTO_DETACH_COUNT)
			CHECK_INT(msg_write_u8(&buf, value), 0);
		CHECK_INT(message_session_decode(&session, buf_data(&buf), buf_length(&buf), &err),
			  0);
		CHECK_INT(session.detach, wanted.detach);
		message_session_done(&session);
	}
}

static void a_list_of_sessions_comes_back_whole(void)
{
	struct message_listed listed[] = {
	    {.id = 7,
	     .detach = PROTO_DETACH_SHELL,
	     .started_s = 1u << 31,
	     .rows = 24,
	     .command = sh},
	    {.id = 9,
	     .state = PROTO_SESSION_ENDED,
	     .how = PROTO_SIGNALED,
	     .value = 9,
	     .columns = 65535,
	     .command = script},
	};
	const struct message_sessions sessions = {.listed = listed, .count = 2};
	struct message_sessions back;
	auto_buf struct buf buf;
	struct err err;

	buf_init(&buf, MESSAGE_SESSIONS_BYTES);
	CHECK_INT(message_sessions_encode(&sessions, &buf), 0);
	for (size_t length = 0; length < buf_length(&buf); length++) {
		CHECK_INT(message_sessions_decode(&back, buf_data(&buf), length, &err), -1);
		CHECK(!back.listed && !back.count);
	}
	CHECK_INT(message_sessions_decode(&back, buf_data(&buf), buf_length(&buf), &err), 0);
	CHECK_INT(back.count, 2);
	CHECK_INT(back.listed[0].id, 7);
	CHECK_INT(back.listed[0].detach, PROTO_DETACH_SHELL);
	CHECK(back.listed[0].started_s == 1u << 31);
	CHECK_INT(back.listed[1].state, PROTO_SESSION_ENDED);
	CHECK_INT(back.listed[1].how, PROTO_SIGNALED);
	CHECK_INT(back.listed[1].columns, 65535);
	CHECK_STR(back.listed[1].command, "exit \xff\n7");
	CHECK(!back.listed[0].environment && !back.listed[1].environment);
	message_sessions_done(&back);
	buf.bytes[buf.start + 2] = 2; /* more than 256 of them */
	CHECK_INT(message_sessions_decode(&back, buf_data(&buf), buf_length(&buf), &err), -1);
}

static void a_list_tells_environments_that_are_known_and_a_list_without_is_none_the_worse(void)
{
	struct message_listed listed[] = {
	    {.id = 1, .command = sh},
	    {.id = 2, .command = sh, .environment = 0xfedcba9876543210u},
	};
	const struct message_sessions sessions = {.listed = listed, .count = 2};
	struct message_sessions back;
	auto_buf struct buf buf;
	struct err err;

	buf_init(&buf, MESSAGE_SESSIONS_BYTES);
	CHECK_INT(message_sessions_encode(&sessions, &buf), 0);
	CHECK_INT(message_sessions_decode(&back, buf_data(&buf), buf_length(&buf), &err), 0);
	CHECK(back.listed[0].environment == 0);
	CHECK(back.listed[1].environment == 0xfedcba9876543210u);
	message_sessions_done(&back);
	/* Cut off, they are as if they were not there. */
	CHECK_INT(message_sessions_decode(&back, buf_data(&buf), buf_length(&buf) - 1, &err), 0);
	CHECK_INT(back.count, 2);
	CHECK(back.listed[1].environment == 0);
	message_sessions_done(&back);
}

static void what_to_attach_to_comes_back_whole(void)
{
	const struct message_attach attach = {
	    .id = 70000,
	    .window = {.rows = 1, .columns = 2, .width = 3, .height = 4},
	    .take = true};
	struct message_attach back;
	auto_buf struct buf buf;
	struct err err;

	buf_init(&buf, MESSAGE_ATTACH_BYTES);
	CHECK_INT(message_attach_encode(&attach, &buf), 0);
	CHECK_INT(buf_length(&buf), MESSAGE_ATTACH_BYTES);
	for (size_t length = 0; length < buf_length(&buf); length++)
		CHECK_INT(message_attach_decode(&back, buf_data(&buf), length, &err), -1);
	CHECK_INT(message_attach_decode(&back, buf_data(&buf), buf_length(&buf), &err), 0);
	CHECK_INT(back.id, 70000);
	CHECK_INT(back.window.height, 4);
	CHECK(back.take);
}

static void what_a_session_may_not_say_is_refused(void)
{
	static char no_equals[] = "PATH", no_name[] = "=x";
	static char long_user[MESSAGE_NAME_MAX + 2], long_cwd[MESSAGE_PATH_MAX + 2];
	char *bad_entry[] = {term, no_equals, NULL};
	char *bad_name[] = {no_name, NULL};

	memset(long_user, 'u', sizeof(long_user) - 1);
	memset(long_cwd, '/', sizeof(long_cwd) - 1);
	for (int i = 1; i < 6; i++) {
		struct message_session session = a_session;
		auto_buf struct buf buf;
		struct err err;

		session.cwd = i == 1 ? long_cwd : cwd;
		session.user = i == 2 ? long_user : user;
		session.environment = i == 3 ? bad_entry : i == 4 ? bad_name : environment;
		encode_session(&buf, &session);
		if (i == 5)
			buf.bytes[buf.start] = 2; /* a bool that is neither */
		CHECK_INT(decode_session(&buf, buf_length(&buf), &err), -1);
	}
	long_user[MESSAGE_NAME_MAX] = '\0';
	long_cwd[MESSAGE_PATH_MAX] = '\0';
	struct message_session session = a_session;
	auto_buf struct buf buf;
	struct err err;

	session.user = long_user;
	session.cwd = long_cwd;
	encode_session(&buf, &session);
	CHECK_INT(decode_session(&buf, buf_length(&buf), &err), 0);
}

static void a_session_beyond_the_ceiling_is_not_encoded(void)
{
	for (size_t max = 0; max < 80; max++) {
		auto_buf struct buf buf;

		buf_init(&buf, max);
		CHECK_INT(message_session_encode(&a_session, &buf), -1);
	}
}

static void a_window_size_comes_back(void)
{
	const struct message_window window = {24, 80, 1, 2};
	auto_buf struct buf buf;
	struct message_window out;
	struct err err;

	buf_init(&buf, 8);
	CHECK_INT(message_window_encode(&window, &buf), 0);
	CHECK_INT(message_window_encode(&window, &buf), -1);
	CHECK_INT(message_window_decode(&out, buf_data(&buf), 8, &err), 0);
	CHECK(out.rows == 24 && out.columns == 80 && out.width == 1 && out.height == 2);
	CHECK_INT(message_window_decode(&out, buf_data(&buf), 7, &err), -1);
	CHECK_INT(out.rows, 0);
}

static char host[] = "hello", shell[] = "/bin/bash", zone[] = "Europe/Berlin";
static char share_path[] = "/home/me/devbox/x", alias[] = "/src/x", local[] = ".devbox";
static char second_path[] = "/mnt", none[] = "";

static struct message_configure a_configure(void)
{
	struct message_configure configure = {
	    .hostname = host,
	    .user = user,
	    .uid = 1000,
	    .gid = UINT32_MAX,
	    .shell = shell,
	    .timezone = zone,
	    .machine_id = {1, [15] = 16},
	    .entropy = {2, [31] = 32},
	    .time_ns = 1ULL << 60,
	    .project = share_path,
	    .network = true,
	    .shares = {{0, share_path, alias, local, false}, {7, second_path, none, none, true}},
	    .share_count = 2,
	};

	return configure;
}

static void a_configuration_comes_back_whole(void)
{
	struct message_configure configure = a_configure();
	struct message_configure out;
	auto_buf struct buf buf;
	struct err err;

	buf_init(&buf, PROTO_MESSAGE_MAX);
	CHECK_INT(message_configure_encode(&configure, &buf), 0);
	CHECK_INT(message_configure_decode(&out, buf_data(&buf), buf_length(&buf), &err), 0);
	CHECK_STR(out.hostname, "hello");
	CHECK_STR(out.user, "me");
	CHECK(out.uid == 1000 && out.gid == UINT32_MAX && out.time_ns == 1ULL << 60);
	CHECK_STR(out.shell, "/bin/bash");
	CHECK_STR(out.timezone, "Europe/Berlin");
	CHECK(memcmp(out.machine_id, configure.machine_id, 16) == 0);
	CHECK(memcmp(out.entropy, configure.entropy, 32) == 0);
	CHECK_STR(out.project, "/home/me/devbox/x");
	CHECK(out.network);
	CHECK_INT(out.share_count, 2);
	CHECK_STR(out.shares[0].alias, "/src/x");
	CHECK_STR(out.shares[0].local, ".devbox");
	CHECK(out.shares[1].number == 7 && out.shares[1].read_only);
	message_configure_done(&out);
	CHECK(!out.shares[0].path && !out.hostname);
	for (size_t length = 0; length < buf_length(&buf); length++) {
		CHECK_INT(message_configure_decode(&out, buf_data(&buf), length, &err), -1);
		CHECK(!out.hostname && out.share_count == 0);
	}
}

static int through(const struct message_configure *configure)
{
	struct message_configure out;
	auto_buf struct buf buf;
	struct err err;
	int result;

	buf_init(&buf, 1u << 20);
	CHECK_INT(message_configure_encode(configure, &buf), 0);
	result = message_configure_decode(&out, buf_data(&buf), buf_length(&buf), &err);
	if (result == 0)
		message_configure_done(&out);
	return result;
}

static void what_a_configuration_may_not_say_is_refused(void)
{
	static char relative[] = "x", slash[] = "a/b", dots[] = "..", dot[] = ".";
	struct message_configure configure = a_configure();

	CHECK_INT(through(&configure), 0);
	configure.shell = relative;
	CHECK_INT(through(&configure), -1);
	configure = a_configure();
	configure.project = relative;
	CHECK_INT(through(&configure), -1);
	configure = a_configure();
	configure.hostname = slash;
	CHECK_INT(through(&configure), -1);
	configure = a_configure();
	configure.user = dots;
	CHECK_INT(through(&configure), -1);
	configure = a_configure();
	configure.shares[1].path = relative;
	CHECK_INT(through(&configure), -1);
	configure.shares[1].path = none;
	CHECK_INT(through(&configure), -1);
	configure = a_configure();
	configure.shares[0].alias = relative;
	CHECK_INT(through(&configure), -1);
	configure = a_configure();
	configure.shares[0].local = slash;
	CHECK_INT(through(&configure), -1);
	configure.shares[0].local = dot;
	CHECK_INT(through(&configure), -1);
}

static void the_number_of_shares_is_bounded_on_both_sides(void)
{
	struct message_configure configure = a_configure();
	struct message_configure out;
	auto_buf struct buf buf;
	struct err err;

	for (uint32_t i = 0; i < MESSAGE_SHARES_MAX; i++)
		configure.shares[i] = configure.shares[0];
	configure.share_count = MESSAGE_SHARES_MAX;
	CHECK_INT(through(&configure), 0);
	configure.share_count = MESSAGE_SHARES_MAX + 1;
	buf_init(&buf, PROTO_MESSAGE_MAX);
	CHECK_INT(message_configure_encode(&configure, &buf), -1);
	/* A peer that claims more than it could have. */
	buf_clear(&buf);
	configure.share_count = 0;
	CHECK_INT(message_configure_encode(&configure, &buf), 0);
	buf.bytes[buf.start + buf.length - 1] = MESSAGE_SHARES_MAX + 1;
	(void)buf_append(&buf, (const uint8_t[2000]){0}, 2000);
	CHECK_INT(message_configure_decode(&out, buf_data(&buf), buf_length(&buf), &err), -1);
}

static void a_status_comes_back_whole(void)
{
	char running[] = "running", debian[] = "debian", kvm[] = "kvm";
	const struct message_status status = {running, debian,	   kvm, 1, 2,  1ULL << 40, 4,
					      5,       UINT32_MAX, 7,	8, 30, true};
	struct message_status out;
	auto_buf struct buf buf;
	struct err err;

	buf_init(&buf, PROTO_MESSAGE_MAX);
	CHECK_INT(message_status_encode(&status, &buf), 0);
	CHECK_INT(message_status_decode(&out, buf_data(&buf), buf_length(&buf), &err), 0);
	CHECK_STR(out.state, "running");
	CHECK_STR(out.guest, "debian");
	CHECK_STR(out.accelerator, "kvm");
	CHECK(out.uptime_ms == 1 && out.memory_bytes == 2 && out.resident_bytes == 1ULL << 40);
	CHECK(out.cpus == 4 && out.sessions == 5 && out.supervisor_pid == UINT32_MAX);
	CHECK(out.machine_pid == 7 && out.boot_ms == 8);
	CHECK(out.idle_s == 30 && out.kept);
	message_status_done(&out);
	size_t older = buf_length(&buf) - 5; /* ends here */
	for (size_t length = 0; length < buf_length(&buf); length++)
		if (length != older)
			CHECK_INT(message_status_decode(&out, buf_data(&buf), length, &err), -1);
	CHECK_INT(message_status_decode(&out, buf_data(&buf), older, &err), 0);
	CHECK(out.boot_ms == 8 && out.idle_s == 0 && !out.kept);
	message_status_done(&out);
	buf.max = buf_length(&buf) + 10;
	CHECK_INT(message_status_encode(&status, &buf), -1);
}

static void a_program_comes_back_whole_and_is_bounded(void)
{
	struct message_program program = {.name = (char[]){"dxvm-agent"}, .length = 1};
	struct message_program back;
	struct err err = ERR_INIT;
	auto_buf struct buf buf;

	memset(program.sha256, 7, sizeof(program.sha256));
	buf_init(&buf, MESSAGE_PROGRAM_BYTES);
	CHECK_INT(message_program_encode(&program, &buf), 0);
	CHECK_INT(message_program_decode(&back, buf_data(&buf), buf_length(&buf), &err), 0);
	CHECK_STR(back.name, "dxvm-agent");
	CHECK_INT(back.length, 1);
	CHECK(memcmp(back.sha256, program.sha256, sizeof(back.sha256)) == 0);
	message_program_done(&back);
	for (size_t i = 0; i < buf_length(&buf); i++)
		CHECK_INT(message_program_decode(&back, buf_data(&buf), i, &err), -1);
	program.length = PROTO_PROGRAM_MAX + 1;
	buf_clear(&buf);
	CHECK_INT(message_program_encode(&program, &buf), 0);
	CHECK_INT(message_program_decode(&back, buf_data(&buf), buf_length(&buf), &err), -1);
	CHECK(strstr(err.text, "out of bounds") != NULL && back.name == NULL);
}

TEST_MAIN(TEST(a_session_comes_back_whole), TEST(null_fields_travel_as_empty_ones),
	  TEST(a_cut_session_is_refused_and_later_fields_are_ignored),
	  TEST(how_a_session_is_left_may_be_missing_or_unknown),
	  TEST(a_list_of_sessions_comes_back_whole),
	  TEST(a_list_tells_environments_that_are_known_and_a_list_without_is_none_the_worse),
	  TEST(what_to_attach_to_comes_back_whole), TEST(what_a_session_may_not_say_is_refused),
	  TEST(a_session_beyond_the_ceiling_is_not_encoded), TEST(a_window_size_comes_back),
	  TEST(a_configuration_comes_back_whole), TEST(what_a_configuration_may_not_say_is_refused),
	  TEST(the_number_of_shares_is_bounded_on_both_sides), TEST(a_status_comes_back_whole),
	  TEST(a_program_comes_back_whole_and_is_bounded))
