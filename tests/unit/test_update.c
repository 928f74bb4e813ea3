/* What the supervisor offers to a guest with programs on its disk, and guests that answer as they like. */
#include "base/mem.h"
#include "supervisor/update.h"
#include "unit/mux_rig.h"
#include "unit/temp_dir.h"
#include "unit/test.h"

#define OPENED(channel) "OPEN " channel "; DATA " channel " "

/* A rig with programs to offer; they are as long as that. */
static void begin(struct rig *rig, const struct temp_dir *dir, size_t agent, size_t devbox)
{
	auto_free char *bytes = xcalloc(1, agent + devbox);

	temp_dir_put(dir, "dxvm-agent", bytes, agent);
	temp_dir_put(dir, "dxvm-devbox", bytes, devbox);
	(void)setenv("DXVM_LIBEXEC", dir->path, 1);
	rig_init(rig, MUX_HOST);
	update_offer(rig->mux);
}

static void answer(struct rig *rig, uint32_t channel, bool wanted)
{
	const uint8_t byte = wanted;

	CHECK_INT(rig_feed(rig, PROTO_ACCEPT, 0, channel, &byte, 1), 0);
}

static void end(struct rig *rig, uint32_t channel)
{
	CHECK_INT(rig_feed_text(rig, PROTO_EOF, channel, ""), 0);
	CHECK_INT(rig_feed(rig, PROTO_EXIT, 0, channel, "\0\0\0\0\0", 5), 0);
	CHECK_INT(rig_feed_text(rig, PROTO_CLOSE, channel, ""), 0);
}

static void one_after_the_other_is_offered_and_only_sent_if_wanted(void)
{
	struct rig rig auto_rig;
	auto_temp_dir struct temp_dir dir = temp_dir_make();

	begin(&rig, &dir, 100, 200);
	CHECK_STR(rig_output(&rig), OPENED("1") "(50)");
	answer(&rig, 1, false);
	end(&rig, 1);
	CHECK_STR(rig_output(&rig), "CLOSE 1; " OPENED("3") "(51)");
	answer(&rig, 3, true);
	CHECK_STR(rig_output(&rig), "DATA 3 (200); EOF 3");
	end(&rig, 3);
	CHECK_STR(rig_output(&rig), "CLOSE 3");
}

static void no_more_is_sent_than_the_guest_takes(void)
{
	struct rig rig auto_rig;
	auto_temp_dir struct temp_dir dir = temp_dir_make();

	begin(&rig, &dir, PROTO_WINDOW + 1000, 1);
	(void)rig_output(&rig);
	answer(&rig, 1, true);
	CHECK(strstr(rig_output(&rig), "EOF") == NULL);
	CHECK_INT(rig_feed_u32(&rig, PROTO_CREDIT, 1, 1000), 0);
	CHECK_STR(rig_output(&rig), "DATA 1 (1000)");
	CHECK_INT(rig_feed_u32(&rig, PROTO_CREDIT, 1, 1000), 0);
	CHECK_STR(rig_output(&rig), "DATA 1 (50); EOF 1");
}

static void an_agent_that_knows_no_programs_is_left_alone(void)
{
	struct rig rig auto_rig;
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	const char reason[] = "\0\0\0\2\0\0\0\3no!";

	begin(&rig, &dir, 1, 1);
	(void)rig_output(&rig);
	CHECK_INT(rig_feed(&rig, PROTO_REJECT, 0, 1, reason, sizeof(reason) - 1), 0);
	CHECK_STR(rig_output(&rig), OPENED("3") "(51)");
	CHECK_INT(rig_feed(&rig, PROTO_REJECT, 0, 3, reason, sizeof(reason) - 1), 0);
	CHECK_STR(rig_output(&rig), "");
}

static void a_guest_that_talks_without_end_costs_nothing(void)
{
	struct rig rig auto_rig;
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	static const uint8_t words[PROTO_PAYLOAD_MAX];

	begin(&rig, &dir, 1, 1);
	(void)rig_output(&rig);
	answer(&rig, 1, true);
	for (int i = 0; i < 100; i++) {
		CHECK_INT(rig_feed(&rig, PROTO_DATA, 0, 1, words, sizeof(words)), 0);
		(void)rig_output(&rig);
	}
	CHECK_INT(rig_feed_text(&rig, PROTO_CLOSE, 1, ""), 0); /* without having said how it went */
	CHECK(strstr(rig_output(&rig), OPENED("3")) != NULL);
}

static void a_lost_link_ends_it(void)
{
	struct rig rig auto_rig;
	auto_temp_dir struct temp_dir dir = temp_dir_make();

	begin(&rig, &dir, PROTO_WINDOW * 2, 1);
	(void)rig_output(&rig);
	answer(&rig, 1, true);
	mux_lose(rig.mux);
	CHECK_STR(rig_output(&rig), "");
}

static void without_programs_nothing_is_offered(void)
{
	struct rig rig auto_rig;
	auto_temp_dir struct temp_dir dir = temp_dir_make();

	begin(&rig, &dir, 0, 1);
	CHECK_STR(rig_output(&rig), OPENED("1") "(51)"); /* an empty file is none */
}

TEST_MAIN(TEST(one_after_the_other_is_offered_and_only_sent_if_wanted),
	  TEST(no_more_is_sent_than_the_guest_takes),
	  TEST(an_agent_that_knows_no_programs_is_left_alone),
	  TEST(a_guest_that_talks_without_end_costs_nothing), TEST(a_lost_link_ends_it),
	  TEST(without_programs_nothing_is_offered))
