/* What newc writes is read back by libarchive, which has its own idea of the format. */
#include "base/mem.h"
#include "base/newc.h"
#include "unit/test.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

static struct archive *open_archive(const struct buf *buf)
{
	struct archive *a = archive_read_new();

	(void)archive_read_support_format_cpio(a);
	CHECK_INT(archive_read_open_memory(a, buf_data(buf), buf_length(buf)), ARCHIVE_OK);
	return a;
}

static void entries_are_read_back_as_written(void)
{
	auto_buf struct buf buf;
	struct err err = ERR_INIT;
	struct archive_entry *entry;
	struct newc newc;
	char text[6] = {0};

	buf_init(&buf, 1 << 16);
	newc_init(&newc, &buf);
	CHECK_INT(newc_directory(&newc, "dev", 0755, &err), 0);
	CHECK_INT(newc_char_device(&newc, "dev/console", 0600, 5, 1, &err), 0);
	CHECK_INT(newc_file(&newc, "init", 0755, "hello", 5, &err), 0);
	CHECK_INT(newc_symlink(&newc, "sh", "/bin/busybox", &err), 0);
	CHECK_INT(newc_end(&newc, &err), 0);

	struct archive *a = open_archive(&buf);
	CHECK_INT(archive_read_next_header(a, &entry), ARCHIVE_OK);
	CHECK_STR(archive_entry_pathname(entry), "dev");
	CHECK_INT(archive_entry_mode(entry), S_IFDIR | 0755);
	CHECK_INT(archive_read_next_header(a, &entry), ARCHIVE_OK);
	CHECK_INT(archive_entry_mode(entry), S_IFCHR | 0600);
	CHECK_INT(archive_entry_rdevmajor(entry), 5);
	CHECK_INT(archive_entry_rdevminor(entry), 1);
	CHECK_INT(archive_read_next_header(a, &entry), ARCHIVE_OK);
	CHECK_INT(archive_entry_mode(entry), S_IFREG | 0755);
	CHECK_INT(archive_entry_uid(entry), 0);
	CHECK_INT(archive_read_data(a, text, 5), 5);
	CHECK_STR(text, "hello");
	CHECK_INT(archive_read_next_header(a, &entry), ARCHIVE_OK);
	CHECK_STR(archive_entry_symlink(entry), "/bin/busybox");
	CHECK_INT(archive_read_next_header(a, &entry), ARCHIVE_EOF);
	(void)archive_read_free(a);
}

static void names_and_files_of_every_length_keep_the_alignment(void)
{
	auto_buf struct buf buf;
	struct err err = ERR_INIT;
	struct archive_entry *entry;
	struct newc newc;
	char name[16] = "nnnnnnnnnnnnnnn";
	char data[8] = "01234567";

	buf_init(&buf, 1 << 16);
	newc_init(&newc, &buf);
	for (size_t n = 1; n <= 8; n++)
		for (size_t d = 0; d <= 8; d++)
			CHECK_INT(newc_file(&newc, name + 15 - n, 0644, data, d, &err), 0);
	CHECK_INT(newc_end(&newc, &err), 0);
	CHECK_INT(buf_length(&buf) % 4, 0);

	struct archive *a = open_archive(&buf);
	for (size_t n = 1; n <= 8; n++) {
		for (size_t d = 0; d <= 8; d++) {
			char back[9] = {0};

			CHECK_INT(archive_read_next_header(a, &entry), ARCHIVE_OK);
			CHECK_INT(strlen(archive_entry_pathname(entry)), n);
			CHECK_INT(archive_read_data(a, back, sizeof(back)), d);
			CHECK(memcmp(back, data, d) == 0);
		}
	}
	CHECK_INT(archive_read_next_header(a, &entry), ARCHIVE_EOF);
	(void)archive_read_free(a);
}

static void the_same_input_gives_the_same_bytes(void)
{
	struct buf bufs[2];
	struct err err = ERR_INIT;

	for (size_t i = 0; i < 2; i++) {
		struct newc newc;

		buf_init(&bufs[i], 1 << 12);
		newc_init(&newc, &bufs[i]);
		CHECK_INT(newc_file(&newc, "a", 0644, "x", 1, &err), 0);
		CHECK_INT(newc_end(&newc, &err), 0);
	}
	CHECK_INT(buf_length(&bufs[0]), buf_length(&bufs[1]));
	CHECK(memcmp(buf_data(&bufs[0]), buf_data(&bufs[1]), buf_length(&bufs[0])) == 0);
	buf_done(&bufs[0]);
	buf_done(&bufs[1]);
}

static void an_archive_over_its_ceiling_is_an_error_that_names_the_entry(void)
{
	auto_buf struct buf buf;
	struct err err = ERR_INIT;
	struct newc newc;
	char data[512] = {0};

	buf_init(&buf, 400);
	newc_init(&newc, &buf);
	CHECK_INT(newc_file(&newc, "big", 0644, data, sizeof(data), &err), -1);
	CHECK(strstr(err.text, "big") != NULL);
}

TEST_MAIN(TEST(entries_are_read_back_as_written),
	  TEST(names_and_files_of_every_length_keep_the_alignment),
	  TEST(the_same_input_gives_the_same_bytes),
	  TEST(an_archive_over_its_ceiling_is_an_error_that_names_the_entry))
