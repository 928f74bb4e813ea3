#include "agent/ring.h"
#include "base/mem.h"
#include "unit/test.h"

/* All from a position on, put together. */
static char *take_from(const struct ring *ring, uint64_t position)
{
	char *text = xcalloc((size_t)(ring->end - position) + 1, 1);
	size_t used = 0;

	while (position < ring->end) {
		const uint8_t *bytes;
		size_t length = ring_peek(ring, position, &bytes);

		memcpy(text + used, bytes, length);
		used += length;
		position += length;
	}
	return text;
}

static void what_was_appended_is_found_at_its_position(void)
{
	struct ring ring;
	const uint8_t *bytes;

	ring_init(&ring);
	CHECK_INT(ring_oldest(&ring), 0);
	CHECK_INT(ring_peek(&ring, 0, &bytes), 0);
	ring_append(&ring, "one\n", 4);
	ring_append(&ring, "two\n", 4);
	char *text = take_from(&ring, 2);

	CHECK_STR(text, "e\ntwo\n");
	free(text);
	ring_done(&ring);
}

static void only_the_last_bytes_are_kept(void)
{
	static char many[2 * RING_BYTES + 3];
	struct ring ring;

	for (size_t i = 0; i < sizeof(many); i++)
		many[i] = (char)('a' + i % 26);
	ring_init(&ring);
	for (size_t at = 0; at < sizeof(many);) {
		size_t part = sizeof(many) - at < 1000 ? sizeof(many) - at : 1000;

		ring_append(&ring, many + at, part);
		at += part;
	}
	CHECK_INT(ring.end, sizeof(many));
	CHECK_INT(ring_oldest(&ring), sizeof(many) - RING_BYTES);
	char *text = take_from(&ring, ring_oldest(&ring));

	CHECK(memcmp(text, many + sizeof(many) - RING_BYTES, RING_BYTES) == 0);
	free(text);
	ring_append(&ring, many, sizeof(many)); /* more than it holds, at once */
	text = take_from(&ring, ring_oldest(&ring));
	CHECK(memcmp(text, many + sizeof(many) - RING_BYTES, RING_BYTES) == 0);
	free(text);
	ring_done(&ring);
}

static void a_line_is_shown_from_its_start(void)
{
	static char line[RING_BYTES];
	struct ring ring;

	ring_init(&ring);
	ring_append(&ring, "first\nsecond\nthird", 18);
	CHECK_INT(ring_line_start(&ring, 3), 0);
	CHECK_INT(ring_line_start(&ring, 6), 6);
	CHECK_INT(ring_line_start(&ring, 9), 6);
	CHECK_INT(ring_line_start(&ring, 18), 13);

	/* Its start is lost: the next one; there is none near: as it is. */
	memset(line, 'x', sizeof(line));
	line[100] = '\n';
	ring_append(&ring, line, sizeof(line));
	CHECK_INT(ring_line_start(&ring, 5), ring_oldest(&ring) + 101);
	CHECK_INT(ring_line_start(&ring, ring.end - 7), ring.end - 7);
	ring_done(&ring);
}

TEST_MAIN(TEST(what_was_appended_is_found_at_its_position), TEST(only_the_last_bytes_are_kept),
	  TEST(a_line_is_shown_from_its_start))
