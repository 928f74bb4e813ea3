#include "base/log.h"

#include "base/mem.h"
#include "base/safe_text.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static struct {
	int fd;
	enum log_level most;
	off_t cap;
} target = {.fd = -1};

static const char *const level_names[] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

void log_to(int fd, enum log_level most, off_t cap)
{
	target.fd = fd;
	target.most = most;
	target.cap = cap;
}

bool log_level_parse(const char *name, enum log_level *ret_level)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
		if (strcmp(level_names[i], name) == 0) {
			*ret_level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

int log_fd(void)
{
	return target.fd;
}

/* Keeps the newer half of a file that passed its cap. Lines are dropped whole. */
static void trim(void)
{
	struct stat st;
	off_t half = target.cap / 2;
	ssize_t n;

	if (fstat(target.fd, &st) < 0 || st.st_size <= target.cap)
		return;
	auto_free char *tail = xmalloc((size_t)half);
	n = pread(target.fd, tail, (size_t)half, st.st_size - half);
	if (n <= 0)
		return;
	const char *line = memchr(tail, '\n', (size_t)n);
	size_t skip = line ? (size_t)(line + 1 - tail) : 0;
	if (ftruncate(target.fd, 0) == 0 && lseek(target.fd, 0, SEEK_SET) == 0)
		(void)!write(target.fd, tail + skip, (size_t)n - skip);
}

void log_line(enum log_level level, const char *room, const char *format, ...)
{
	struct timespec now;
	struct tm tm;
	char stamp[32] = "";
	va_list ap;

	if (target.fd < 0 || level > target.most)
		return;
	va_start(ap, format);
	auto_free char *text = xvasprintf(format, ap);
	va_end(ap);
	auto_free char *safe = safe_text(text, strlen(text), SAFE_TEXT_LINE);
	if (clock_gettime(CLOCK_REALTIME, &now) == 0 && gmtime_r(&now.tv_sec, &tm))
		(void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	auto_free char *line = xasprintf("%s.%03ldZ %s %s: %s\n", stamp, now.tv_nsec / 1000000,
					 level_names[level], room, safe);
	(void)!write(target.fd, line, strlen(line));
	if (target.cap > 0)
		trim();
}
