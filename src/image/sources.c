#include "image/sources.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/child.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#define APT_DIR	      "/etc/apt"
#define KEYRING	      "/usr/share/keyrings/debian-archive-keyring.gpg"
#define SOURCES_MAX   ((size_t)1 << 20)
#define LINES_MAX     ((size_t)16 << 10)
#define GUEST_GATEWAY "10.0.2.2" /* QEMU's user network: the host's loopback */

static bool ends_with(const char *name, const char *ending)
{
	size_t length = strlen(name);
	size_t n = strlen(ending);

	return length > n && strcmp(name + length - n, ending) == 0;
}

/* A file that cannot be read or understood is apt's problem; we look at the others. */
static void scan_file(const char *path, struct sources_found *found)
{
	auto_free char *text = NULL;
	struct err ignored = ERR_INIT;

	if (file_read(AT_FDCWD, path, SOURCES_MAX, &text, NULL, &ignored) == 0)
		sources_scan(text, ends_with(path, ".sources") ? SOURCES_DEB822 : SOURCES_LINES,
			     found);
}

static int is_sources_file(const struct dirent *entry)
{
	return ends_with(entry->d_name, ".list") || ends_with(entry->d_name, ".sources");
}

static void scan_host(struct sources_found *found)
{
	static const char parts[] = APT_DIR "/sources.list.d";
	struct dirent **entries;
	int count = scandir(parts, &entries, is_sources_file, alphasort);

	scan_file(APT_DIR "/sources.list", found);
	for (int i = 0; i < count; i++) {
		auto_free char *path = path_join(parts, entries[i]->d_name);

		scan_file(path, found);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

static void add_line(struct buf *lines, const char *uri, const char *pocket)
{
	if (uri)
		(void)buf_printf(lines, "deb [signed-by=%s] %s %s%s main\n", KEYRING, uri,
				 SOURCES_RELEASE, pocket);
}

static int from_mirror(const char *mirror, struct buf *lines, struct err *err)
{
	if (mirror[0] == '\0' || strpbrk(mirror, " \t\n[]\"") || !strchr(mirror, ':'))
		return err_set(err, ERR_USAGE,
			       "DXVM_DEBIAN_MIRROR=%s: must be the URI of a Debian mirror, like "
			       "http://mirror.example/debian",
			       mirror);
	add_line(lines, mirror, "");
	return 0;
}

static void copy_deb_line(void *ctx, bool is_error, const char *line)
{
	if (!is_error && strncmp(line, "deb ", 4) == 0)
		(void)buf_printf(ctx, "deb [signed-by=%s] %s\n", KEYRING, line + 4);
}

/* mmdebstrap knows a mirror of its own. A hook shows the sources.list that it wrote, and fails on
 * purpose before anything is fetched. */
static int ask_mmdebstrap(struct buf *lines, struct err *err)
{
	static const char *const arguments[] = {
	    "mmdebstrap",
	    "--quiet",
	    "--variant=custom",
	    "--mode=chrootless",
	    "--setup-hook=cat \"$1/etc/apt/sources.list\"; exit 1",
	    SOURCES_RELEASE,
	    "/dev/null",
	    NULL,
	};
	struct err expected = ERR_INIT;
	struct child child = {
	    .arguments = arguments, .log_fd = -1, .line = copy_deb_line, .ctx = lines};

	(void)child_run(&child, &expected);
	if (buf_length(lines) > 0)
		return 0;
	return err_set(err, ERR_NOT_FOUND,
		       "no Debian mirror is known on this host: set DXVM_DEBIAN_MIRROR (%s)",
		       expected.text);
}

static int choose_lines(struct buf *lines, struct err *err)
{
	const char *mirror = getenv("DXVM_DEBIAN_MIRROR");
	struct sources_found found = {0};

	if (mirror)
		return from_mirror(mirror, lines, err);
	scan_host(&found);
	add_line(lines, found.main, "");
	if (found.main) {
		add_line(lines, found.updates, "-updates");
		add_line(lines, found.security, "-security");
	}
	sources_found_done(&found);
	return buf_length(lines) > 0 ? 0 : ask_mmdebstrap(lines, err);
}

/* "Acquire::http::Proxy "http://…";" as apt-config prints it. */
static void take_proxy(void *ctx, bool is_error, const char *line)
{
	bool is_http = strncasecmp(line, "Acquire::http", 13) == 0;

	if (!is_error && is_http && strcasestr(line, "::proxy") && !strstr(line, "\"\";"))
		(void)buf_printf(ctx, "%s\n", line);
}

static int find_proxy(struct buf *proxy, struct err *err)
{
	static const char *const arguments[] = {"apt-config", "dump", "Acquire", NULL};
	struct child child = {
	    .arguments = arguments, .log_fd = -1, .line = take_proxy, .ctx = proxy};

	return child_run(&child, err);
}

int sources_choose(struct sources *ret_sources, struct err *err)
{
	auto_buf struct buf lines;
	auto_buf struct buf proxy;

	buf_init(&lines, LINES_MAX);
	buf_init(&proxy, LINES_MAX);
	if (find_proxy(&proxy, err) < 0 || choose_lines(&lines, err) < 0)
		return -1;
	ret_sources->lines = buf_take_string(&lines);
	ret_sources->proxy = buf_take_string(&proxy);
	return 0;
}

void sources_done(struct sources *sources)
{
	free(sources->lines);
	free(sources->proxy);
	*sources = (struct sources){0};
}

char *sources_for_guest(const char *text)
{
	static const char *const loopbacks[] = {"://localhost", "://127.0.0.1", "://[::1]"};
	auto_buf struct buf out;

	buf_init(&out, LINES_MAX * 2);
	while (*text) {
		size_t skip = 0;

		for (size_t i = 0; i < ARRAY_SIZE(loopbacks); i++) {
			size_t length = strlen(loopbacks[i]);

			if (strncmp(text, loopbacks[i], length) == 0 &&
			    strchr(":/\" \n", text[length]))
				skip = length;
		}
		if (skip > 0)
			(void)buf_append_string(&out, "://" GUEST_GATEWAY);
		else
			(void)buf_append(&out, text, 1);
		text += skip ? skip : 1;
	}
	return buf_take_string(&out);
}
