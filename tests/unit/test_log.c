#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "unit/temp_dir.h"
#include "unit/test.h"

#include <regex.h>

static char *content(const struct temp_dir *dir)
{
	struct err err = ERR_INIT;
	char *text = NULL;

	if (file_read(dir->fd, "log", 1 << 20, &text, NULL, &err) < 0)
		return xstrdup(err.text);
	return text;
}

static int open_log(const struct temp_dir *dir, int flags)
{
	return openat(dir->fd, "log", O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
}

static void a_line_has_time_level_room_and_escaped_text(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	auto_close int fd = open_log(&dir, O_APPEND);
	regex_t shape;

	log_to(fd, LOG_INFO, 0);
	log_warn("agent", "guest says \"%s\"", "\x1b[2J\nfake line");
	log_to(-1, LOG_INFO, 0);
	auto_free char *text = content(&dir);
	CHECK_INT(regcomp(&shape,
			  "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z warning agent: "
			  "guest says \"\\\\x1b\\[2J\\\\nfake line\"\n$",
			  REG_EXTENDED | REG_NOSUB),
		  0);
	CHECK_INT(regexec(&shape, text, 0, NULL, 0), 0);
	regfree(&shape);
}

static void lines_above_the_level_are_not_written(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	auto_close int fd = open_log(&dir, O_APPEND);

	log_to(fd, LOG_WARN, 0);
	log_error("x", "one");
	log_info("x", "two");
	log_debug("x", "three");
	log_to(-1, LOG_DEBUG, 0);
	log_error("x", "four");
	auto_free char *text = content(&dir);
	CHECK(strstr(text, "one") != NULL);
	CHECK(strstr(text, "two") == NULL);
	CHECK(strstr(text, "three") == NULL);
	CHECK(strstr(text, "four") == NULL);
}

static void fill_past_the_cap(int flags)
{
	enum { CAP = 4096, LINES = 1000 };
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	auto_close int fd = open_log(&dir, flags);
	struct stat st;

	log_to(fd, LOG_INFO, CAP);
	for (int i = 0; i < LINES; i++) {
		log_info("x", "line %d.", i);
		CHECK(fstat(fd, &st) == 0 && st.st_size <= CAP);
	}
	log_to(-1, LOG_INFO, 0);
	auto_free char *text = content(&dir);
	CHECK_INT(strlen(text), st.st_size);
	CHECK(strncmp(text, "20", 2) == 0);
	CHECK(strstr(text, "line 0.") == NULL);
	CHECK(strstr(text, "line 999.\n") != NULL);
	/* No line is lost in the middle. */
	const char *first = strstr(text, "line ");
	int next = first ? (int)strtol(first + strlen("line "), NULL, 10) : LINES;
	for (; next < LINES; next++) {
		auto_free char *line = xasprintf("x: line %d.\n", next);
		CHECK(strstr(text, line) != NULL);
	}
}

static void past_the_cap_the_newer_half_is_kept_in_whole_lines(void)
{
	fill_past_the_cap(O_APPEND);
	fill_past_the_cap(0);
}

TEST_MAIN(TEST(a_line_has_time_level_room_and_escaped_text),
	  TEST(lines_above_the_level_are_not_written),
	  TEST(past_the_cap_the_newer_half_is_kept_in_whole_lines))
