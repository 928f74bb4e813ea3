/* Several shares of one server stay within what the host allows a process and its user. */
#include "supervisor/share_limits.h"

#include "unit/test.h"

#include <sys/resource.h>

#define SHARES 15

static void all_shares_together_stay_below_the_limit_of_descriptors(void)
{
	static const rlim_t limits[] = {256, 1024, 4096, 16384};
	struct rlimit before;

	CHECK_INT(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rlimit limit = {.rlim_cur = limits[i], .rlim_max = before.rlim_max};

		if (limits[i] > before.rlim_max || setrlimit(RLIMIT_NOFILE, &limit) < 0)
			continue;
		for (size_t count = 1; count <= SHARES; count++) {
			struct share_config config = {.root = -1};

			share_limits_set(&config, count);
			CHECK(config.files_max > 0 && config.pinned_max > 0);
			CHECK(count * (config.files_max + config.pinned_max) < limits[i]);
		}
	}
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void one_share_has_what_it_always_had_where_there_is_enough(void)
{
	struct share_config config = {.root = -1};
	struct rlimit limit;

	share_limits_raise();
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	share_limits_set(&config, 1);
	if (limit.rlim_cur >= 1024)
		CHECK_INT(config.files_max + config.pinned_max, SHARE_FILES_MAX + SHARE_PINNED_MAX);
	CHECK_INT(config.nodes_max, SHARE_NODES_MAX);
}

static void nodes_and_watches_are_shared_out(void)
{
	struct share_config one = {.root = -1};
	struct share_config many = {.root = -1};

	share_limits_set(&one, 1);
	share_limits_set(&many, SHARES);
	CHECK(one.watches_max > 0 && one.watches_max <= SHARE_WATCHES_MAX);
	CHECK(many.watches_max > 0 && many.watches_max <= one.watches_max);
	CHECK(many.nodes_max * SHARES <= SHARE_NODES_MAX);
}

TEST_MAIN(TEST(all_shares_together_stay_below_the_limit_of_descriptors),
	  TEST(one_share_has_what_it_always_had_where_there_is_enough),
	  TEST(nodes_and_watches_are_shared_out))
