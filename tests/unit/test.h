#pragma once
/*
 * The whole unit test framework: each test is a function that names the behaviour it protects;
 * TEST_MAIN runs them in order and prints TAP, which meson reads. A failed CHECK prints where and
 * what, and the test goes on to its end. SKIP says why; meson counts it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct test {
	const char *name;
	void (*run)(void);
};

static bool test_failed;
static const char *test_skipped;

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("# %s:%d: not true: %s\n", __FILE__, __LINE__, #condition);         \
			test_failed = true;                                                        \
		}                                                                                  \
	} while (0)

#define CHECK_STR(is, should_be)                                                                   \
	do {                                                                                       \
		const char *is_ = (is);                                                            \
		const char *should_be_ = (should_be);                                              \
		if (!is_ || strcmp(is_, should_be_) != 0) {                                        \
			printf("# %s:%d: %s is \"%s\", should be \"%s\"\n", __FILE__, __LINE__,    \
			       #is, is_ ? is_ : "(null)", should_be_);                             \
			test_failed = true;                                                        \
		}                                                                                  \
	} while (0)

#define CHECK_INT(is, should_be)                                                                   \
	do {                                                                                       \
		long long is_ = (long long)(is);                                                   \
		long long should_be_ = (long long)(should_be);                                     \
		if (is_ != should_be_) {                                                           \
			printf("# %s:%d: %s is %lld, should be %lld\n", __FILE__, __LINE__, #is,   \
			       is_, should_be_);                                                   \
			test_failed = true;                                                        \
		}                                                                                  \
	} while (0)

#define SKIP(why)                                                                                  \
	do {                                                                                       \
		test_skipped = (why);                                                              \
		return;                                                                            \
	} while (0)

#define TEST_MAIN(...)                                                                             \
	int main(void)                                                                             \
	{                                                                                          \
		static const struct test tests[] = {__VA_ARGS__};                                  \
		const size_t count = sizeof(tests) / sizeof(tests[0]);                             \
		bool failed = false;                                                               \
                                                                                                   \
		(void)test_skipped;                                                                \
		printf("1..%zu\n", count);                                                         \
		for (size_t i = 0; i < count; i++) {                                               \
			test_failed = false;                                                       \
			test_skipped = NULL;                                                       \
			tests[i].run();                                                            \
			printf("%s %zu - %s%s%s\n", test_failed ? "not ok" : "ok", i + 1,          \
			       tests[i].name, test_skipped ? " # SKIP " : "",                      \
			       test_skipped ? test_skipped : "");                                  \
			(void)fflush(stdout);                                                      \
			failed = failed || test_failed;                                            \
		}                                                                                  \
		return failed ? 1 : 0;                                                             \
	}

#define TEST(function)                                                                             \
	{                                                                                          \
		.name = #function, .run = function                                                 \
	}
