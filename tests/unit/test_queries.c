#include "agent/queries.h"
#include "unit/test.h"

/* What is left to show of an output, without the NULs. */
static const char *shown(const char *output, size_t from)
{
	static char text[512];
	struct ring ring;
	size_t used = 0;
	const uint8_t *bytes;

	ring_init(&ring);
	ring_append(&ring, output, strlen(output));
	queries_silence(&ring, from);
	CHECK_INT(ring.end, strlen(output));
	for (uint64_t p = 0; p < ring.end; p++) {
		CHECK(ring_peek(&ring, p, &bytes) > 0);
		if (*bytes)
			text[used++] = (char)*bytes;
	}
	text[used] = '\0';
	ring_done(&ring);
	return text;
}

static void questions_are_not_asked_again(void)
{
	static const char *const questions[] = {
	    "\033[6n",		 "\033[5n",	   "\033[?6n", "\033[c",	  "\033[>c",
	    "\033[>0q",		 "\033[?2026$p",   "\033[18t", "\033]11;?\033\\", "\033]4;1;?\a",
	    "\033P+q544e\033\\", "\033P$qm\033\\", "\033[?u",  "\033Z",		  "\033[0x",
	};

	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		char text[64];

		(void)snprintf(text, sizeof(text), "before%safter", questions[i]);
		CHECK_STR(shown(text, 0), "beforeafter");
	}
}

static void all_else_is_shown(void)
{
	static const char *const texts[] = {
	    "plain ? n c t",	    "\033[31mred\033[0m",
	    "\033[?1049h\033[?25l", "\033[2 q",
	    "\033]0;a title\a",	    "\033]11;#ffffff\a",
	    "\033[3;4H\033[K",	    "\033[!p",
	    "\033P1;2|17/ab\033\\", "\033[u",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		CHECK_STR(shown(texts[i], 0), texts[i]);
}

static void what_is_not_complete_stays(void)
{
	static const char *const texts[] = {"\033", "\033[6", "\033]11;?", "\033]11;?\033",
					    "\033P+q54"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		CHECK_STR(shown(texts[i], 0), texts[i]);
	CHECK_STR(shown("\033[\033[6n", 0), "\033[");
	CHECK_STR(shown("\033[6nsince", 4), "\033[6nsince");
}

TEST_MAIN(TEST(questions_are_not_asked_again), TEST(all_else_is_shown),
	  TEST(what_is_not_complete_stays))
