#include "project/settings.h"
#include "unit/temp_dir.h"
#include "unit/test.h"

#define GIB ((uint64_t)1 << 30)

static void sizes_are_read_as_people_write_them(void)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
	    {"1073741824", GIB}, {"4G", 4 * GIB},  {"4g", 4 * GIB},    {"4GiB", 4 * GIB},
	    {"512M", GIB / 2},	 {"4GB", 4 * GIB}, {"1T", 1024 * GIB}, {"1024K", 1u << 20},
	};
	static const char *const bad[] = {"",
					  "G",
					  "-1",
					  "4X",
					  "4GBB",
					  "4 G",
					  "0x10",
					  "99999999999999999999",
					  "18014398509481984K"};
	uint64_t bytes;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		bytes = 0;
		CHECK(settings_parse_size(good[i].text, &bytes));
		CHECK(bytes == good[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(!settings_parse_size(bad[i], &bytes));
}

static void what_is_written_at_install_is_read_back_and_kept(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct settings settings;
	struct err err = ERR_INIT;

	temp_dir_put_text(&dir, "cpu", "3\n");
	CHECK_INT(settings_write_missing(dir.fd, kind_find("debian"), &err), 0);
	CHECK_INT(settings_load(dir.fd, &settings, &err), 0);
	CHECK_INT(settings.cpu, 3);
	CHECK(settings.guest == kind_find("debian"));
	CHECK(settings.mem >= GIB / 2 && settings.mem <= 4 * GIB && settings.mem % (2 << 20) == 0);
	CHECK(settings.disk == 32 * GIB);
	CHECK(settings.net);
	CHECK_INT(settings.idle, 30);
}

static void an_edit_takes_effect(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct settings settings;
	struct err err = ERR_INIT;

	temp_dir_put_text(&dir, "guest", "tiny\n");
	temp_dir_put_text(&dir, "cpu", "4");
	temp_dir_put_text(&dir, "mem", "4G\n\n");
	temp_dir_put_text(&dir, "net", "off\n");
	temp_dir_put_text(&dir, "idle", "never\n");
	CHECK_INT(settings_load(dir.fd, &settings, &err), 0);
	CHECK_INT(settings.cpu, 4);
	CHECK(settings.mem == 4 * GIB);
	CHECK(!settings.net);
	CHECK_INT(settings.idle, 0);
}

static void check_error(const char *name, const char *data, size_t length, const char *text)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct settings settings = {.cpu = 77};
	struct err err = ERR_INIT;

	temp_dir_put_text(&dir, "guest", "tiny\n");
	temp_dir_put(&dir, name, data, length);
	CHECK_INT(settings_load(dir.fd, &settings, &err), -1);
	CHECK_STR(err.text, text);
	CHECK_INT(settings.cpu, 77);
}

static void garbage_names_file_line_and_what_is_allowed(void)
{
	check_error(
	    "mem", "lots\n", 5,
	    "mem: line 1: \"lots\" is not understood; allowed: bytes, or a number with K, M, G "
	    "or T, from 128M to 1T");
	check_error(
	    "mem", "64M", 3,
	    "mem: line 1: \"64M\" is not understood; allowed: bytes, or a number with K, M, G "
	    "or T, from 128M to 1T");
	check_error("cpu", "0", 1,
		    "cpu: line 1: \"0\" is not understood; allowed: a number from 1 to 255");
	check_error(
	    "cpu", "4\n5\n", 4,
	    "cpu: line 2: one value on the first line is all there may be; allowed: a number "
	    "from 1 to 255");
	check_error("cpu", "4\0", 2, "cpu: contains a NUL byte; allowed: a number from 1 to 255");
	check_error("net", "bridge", 6,
		    "net: line 1: \"bridge\" is not understood; allowed: \"user\" or \"off\"");
}

static void a_link_or_a_fifo_is_not_read(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct settings settings;
	struct err err = ERR_INIT;

	temp_dir_put_text(&dir, "guest", "tiny\n");
	CHECK_INT(symlinkat("/etc/hostname", dir.fd, "mem"), 0);
	CHECK_INT(settings_load(dir.fd, &settings, &err), -1);
	CHECK_INT(unlinkat(dir.fd, "mem", 0), 0);
	CHECK_INT(mkfifoat(dir.fd, "mem", 0600), 0);
	CHECK_INT(settings_load(dir.fd, &settings, &err), -1);
	CHECK_STR(err.text, "mem is not a regular file");
}

static void without_a_guest_there_is_no_vm(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct settings settings;
	struct err err = ERR_INIT;

	CHECK_INT(settings_load(dir.fd, &settings, &err), -1);
	CHECK_INT(err.code, ERR_NOT_FOUND);
}

TEST_MAIN(TEST(sizes_are_read_as_people_write_them),
	  TEST(what_is_written_at_install_is_read_back_and_kept), TEST(an_edit_takes_effect),
	  TEST(garbage_names_file_line_and_what_is_allowed), TEST(a_link_or_a_fifo_is_not_read),
	  TEST(without_a_guest_there_is_no_vm))
