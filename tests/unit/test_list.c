#include "base/list.h"
#include "unit/test.h"

struct item {
	int number;
	struct list link;
};

static void fill(struct list *head, struct item *items, int count)
{
	list_init(head);
	for (int i = 0; i < count; i++) {
		items[i].number = i;
		list_append(head, &items[i].link);
	}
}

static void appended_elements_come_back_in_order(void)
{
	struct item items[4];
	struct list head;
	int expected = 0;

	fill(&head, items, 4);
	list_each(link, next, &head) {
		CHECK_INT(list_entry(link, struct item, link)->number, expected);
		expected++;
	}
	CHECK_INT(expected, 4);
}

static void the_body_may_remove_the_current_element(void)
{
	struct item items[5];
	struct list head;
	int left = 0;

	fill(&head, items, 5);
	list_each(link, next, &head) {
		if (list_entry(link, struct item, link)->number % 2 == 0)
			list_remove(link);
	}
	list_each(link, next, &head) {
		CHECK_INT(list_entry(link, struct item, link)->number % 2, 1);
		left++;
	}
	CHECK_INT(left, 2);
	list_each(link, next, &head) {
		list_remove(link);
	}
	CHECK(list_empty(&head));
}

static void removing_twice_is_harmless(void)
{
	struct item items[2];
	struct list head;

	fill(&head, items, 2);
	list_remove(&items[0].link);
	list_remove(&items[0].link);
	CHECK(list_empty(&items[0].link));
	CHECK(head.next == &items[1].link);
	CHECK(head.prev == &items[1].link);
}

static void insert_after_puts_it_between(void)
{
	struct item items[2];
	struct item between = {.number = 7};
	struct list head;

	fill(&head, items, 2);
	list_insert_after(&items[0].link, &between.link);
	CHECK(items[0].link.next == &between.link);
	CHECK(items[1].link.prev == &between.link);
}

TEST_MAIN(TEST(appended_elements_come_back_in_order), TEST(the_body_may_remove_the_current_element),
	  TEST(removing_twice_is_harmless), TEST(insert_after_puts_it_between))
