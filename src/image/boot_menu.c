/*
 * Both languages are read only as far as needed: a line is a command and its words.
 *
 * grub.cfg is a shell: words are quoted, and $NAME or ${NAME} is replaced. The menus that we read
 * use a variable only for what the menu finds out when it runs (where an ISO file lies on a stick);
 * it is not set when booting from the ISO itself, so every variable is empty here.
 *
 * isolinux.cfg has no quotes, and its keywords are of either case. An entry starts at LABEL; the
 * parameters are the rest of the line APPEND.
 */
#include "image/boot_menu.h"

#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define LINE_MAX_BYTES ((size_t)8192)
#define CMDLINE_MAX    ((size_t)2000) /* x86 kernels take 2048, and console= is added */
#define PATH_MAX_BYTES ((size_t)1024)

void boot_entry_done(struct boot_entry *entry)
{
	free(entry->kernel);
	free(entry->initrd);
	free(entry->cmdline);
	*entry = (struct boot_entry){0};
}

/* Past a variable whose '$' was just read. */
static const char *skip_variable(const char *p)
{
	if (*p == '{') {
		p += strcspn(p, "}");
		return *p ? p + 1 : p;
	}
	while (isalnum((unsigned char)*p) || *p == '_')
		p++;
	return p;
}

static bool take_one_quoted(const char **line, struct buf *word)
{
	const char *p = *line + strspn(*line, " \t\r");
	char quote = '\0';

	buf_clear(word);
	if (*p == '\0' || *p == '#')
		return false;
	for (; *p && (quote || !strchr(" \t\r", *p)); p++) {
		if (*p == quote) {
			quote = '\0';
		} else if (!quote && (*p == '"' || *p == '\'')) {
			quote = *p;
		} else if (*p == '$' && quote != '\'') {
			p = skip_variable(p + 1) - 1;
		} else {
			if (*p == '\\' && quote != '\'' && p[1])
				p++;
			(void)buf_append(word, p, 1);
		}
	}
	*line = p;
	return true;
}

/* Takes the next word off a line of grub's; false at its end (a comment is one too). A word of
 * nothing but variables is none. */
static bool take_quoted(const char **line, struct buf *word)
{
	while (take_one_quoted(line, word))
		if (buf_length(word) > 0)
			return true;
	return false;
}

static bool take_plain(const char **line, struct buf *word)
{
	const char *p = *line + strspn(*line, " \t\r");
	size_t length = strcspn(p, " \t\r");

	buf_clear(word);
	(void)buf_append(word, p, length);
	*line = p + length;
	return length > 0 && *p != '#';
}

static bool word_is(const struct buf *word, const char *const *names)
{
	for (; *names; names++)
		if (buf_length(word) == strlen(*names) &&
		    strncasecmp((const char *)buf_data(word), *names, strlen(*names)) == 0)
			return true;
	return false;
}

/* The word as a path in the image. */
static int to_path(struct buf *word, char **ret_path, struct err *err)
{
	auto_free char *text = buf_take_string(word);
	auto_free char *parts = xstrdup(text);
	auto_buf struct buf path;

	buf_init(&path, PATH_MAX_BYTES);
	for (char *rest = parts, *part; (part = strsep(&rest, "/"));) {
		if (*part == '\0' || strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0)
			return err_set(err, ERR_INVALID, "the path %s leads out of the image",
				       text);
		if (buf_printf(&path, "%s%s", buf_length(&path) ? "/" : "", part) < 0)
			return err_set(err, ERR_INVALID, "a path of more than %zu bytes",
				       PATH_MAX_BYTES);
	}
	if (buf_length(&path) == 0)
		return err_set(err, ERR_INVALID, "an empty path");
	free(*ret_path);
	*ret_path = buf_take_string(&path);
	return 0;
}

/* The rest of the line as parameters. */
static int to_cmdline(const char *line, bool quoted, char **ret_cmdline, struct err *err)
{
	auto_buf struct buf cmdline;
	auto_buf struct buf word;

	buf_init(&cmdline, CMDLINE_MAX);
	buf_init(&word, LINE_MAX_BYTES);
	while (quoted ? take_quoted(&line, &word) : take_plain(&line, &word)) {
		auto_free char *text = buf_take_string(&word);
		const char *quote = strchr(text, ' ') ? "\"" : "";

		for (const char *p = text; *p; p++)
			if (!isprint((unsigned char)*p))
				return err_set(err, ERR_INVALID,
					       "a kernel parameter with unprintable characters");
		if (buf_printf(&cmdline, "%s%s%s%s", buf_length(&cmdline) ? " " : "", quote, text,
			       quote) < 0)
			return err_set(err, ERR_INVALID, "kernel parameters of more than %zu bytes",
				       CMDLINE_MAX);
	}
	free(*ret_cmdline);
	*ret_cmdline = buf_take_string(&cmdline);
	return 0;
}

static int take_grub(const char *line, struct boot_entry *entry, struct err *err)
{
	static const char *const kernels[] = {"linux", "linuxefi", "linux16", NULL};
	static const char *const initrds[] = {"initrd", "initrdefi", "initrd16", NULL};
	auto_buf struct buf word;

	buf_init(&word, LINE_MAX_BYTES);
	if (!take_quoted(&line, &word))
		return 0;
	if (word_is(&word, kernels) && !entry->kernel) {
		if (!take_quoted(&line, &word))
			return 0;
		return to_path(&word, &entry->kernel, err) < 0
			   ? -1
			   : to_cmdline(line, true, &entry->cmdline, err);
	}
	if (word_is(&word, initrds) && entry->kernel && take_quoted(&line, &word)) {
		if (to_path(&word, &entry->initrd, err) < 0)
			return -1;
		return take_quoted(&line, &word)
			   ? err_set(err, ERR_UNSUPPORTED, "an entry with more than one initrd")
			   : 0;
	}
	return 0;
}

static int take_isolinux(const char *line, struct boot_entry *entry, struct err *err)
{
	static const char *const labels[] = {"label", NULL};
	static const char *const kernels[] = {"linux", "kernel", NULL};
	static const char *const initrds[] = {"initrd", NULL};
	static const char *const parameters[] = {"append", NULL};
	auto_buf struct buf word;

	buf_init(&word, LINE_MAX_BYTES);
	if (!take_plain(&line, &word))
		return 0;
	if (word_is(&word, labels))
		boot_entry_done(entry); /* the entry before had no kernel or no initrd */
	else if (word_is(&word, parameters))
		return to_cmdline(line, false, &entry->cmdline, err);
	else if (word_is(&word, kernels) && take_plain(&line, &word))
		return to_path(&word, &entry->kernel, err);
	else if (word_is(&word, initrds) && take_plain(&line, &word))
		return to_path(&word, &entry->initrd, err);
	return 0;
}

static bool is_label(const char *line)
{
	static const char *const labels[] = {"label", NULL};
	auto_buf struct buf word;

	buf_init(&word, LINE_MAX_BYTES);
	return take_plain(&line, &word) && word_is(&word, labels);
}

/* Whether the next line belongs to another entry. grub's initrd ends one; isolinux has its lines in
 * any order. */
static bool is_complete(const struct boot_entry *entry, enum boot_menu_kind kind, const char *next)
{
	return entry->kernel && entry->initrd && (kind == BOOT_MENU_GRUB || is_label(next));
}

static int read_lines(const char *text, enum boot_menu_kind kind, struct boot_entry *entry,
		      struct err *err)
{
	for (unsigned number = 1; *text; number++) {
		size_t length = strcspn(text, "\n");

		if (length > LINE_MAX_BYTES)
			return err_set(err, ERR_INVALID, "line %u: longer than %zu bytes", number,
				       LINE_MAX_BYTES);
		auto_free char *line = xstrndup(text, length);
		if (is_complete(entry, kind, line))
			return 0;
		int result = kind == BOOT_MENU_GRUB ? take_grub(line, entry, err)
						    : take_isolinux(line, entry, err);
		if (result < 0)
			return err_wrap(err, "line %u", number);
		text += length + (text[length] == '\n');
	}
	return 0;
}

int boot_menu_parse(const char *text, enum boot_menu_kind kind, struct boot_entry *ret_entry,
		    struct err *err)
{
	struct boot_entry entry = {0};
	int result = read_lines(text, kind, &entry, err);

	if (result == 0 && (!entry.kernel || !entry.initrd))
		result = err_set(err, ERR_NOT_FOUND, "no entry with a kernel and an initrd");
	if (result < 0) {
		boot_entry_done(&entry);
		return -1;
	}
	if (!entry.cmdline)
		entry.cmdline = xstrdup("");
	*ret_entry = entry;
	return 0;
}
