#include "image/progress.h"

#include "base/mem.h"
#include "base/safe_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define COUNT_INTERVAL_MS 100

static void say(const char *word, const char *text)
{
	auto_free char *safe = safe_text(text, strlen(text), SAFE_TEXT_LINE);

	(void)printf("%s %s\n", word, safe);
	(void)fflush(stdout);
}

static void say_formatted(const char *word, const char *format, va_list ap) PRINTF_LIKE(2, 0);
static void say_formatted(const char *word, const char *format, va_list ap)
{
	auto_free char *text = xvasprintf(format, ap);

	say(word, text);
}

void progress_stage(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say_formatted("stage", format, ap);
	va_end(ap);
}

void progress_note(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say_formatted("note", format, ap);
	va_end(ap);
}

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void say_numbers(const char *word, uint64_t done, uint64_t total)
{
	static int64_t last; /* only the rate of lines depends on it */
	int64_t now = now_ms();

	if (done != 0 && done != total && now - last < COUNT_INTERVAL_MS)
		return;
	last = now;
	(void)printf("%s %" PRIu64 " %" PRIu64 "\n", word, done, total);
	(void)fflush(stdout);
}

void progress_count(uint64_t done, uint64_t total)
{
	say_numbers("progress", done, total);
}

void progress_bytes(uint64_t done, uint64_t total)
{
	say_numbers("bytes", done, total);
}

void progress_error(const char *text)
{
	say("error", text);
}

void progress_done(void)
{
	(void)puts("done");
	(void)fflush(stdout);
}
