/*
 * Reading sources.list(5). Both formats come down to the same question for each pair of URI and
 * suite: is this Debian's own archive? It is when the suite is one of Debian's, `main` is among the
 * components and the path ends like the archive's ("…/debian", "…/debian-security"). Vendors reuse
 * Debian's suite names for archives of theirs, but not all three together.
 */
#include "image/sources.h"

#include "base/mem.h"

#include <ctype.h>
#include <string.h>

#define WORD_MAX_SIZE 1024

static const char *const suites[] = {
    "stable",	"oldstable", "testing", "unstable", "sid",  "buster",
    "bullseye", "bookworm",  "trixie",	"forky",    "duke",
};

/* The next word of at most `*length` bytes from *text on; NULL at the end. */
static char *next_word(const char **text, const char *end)
{
	const char *start = *text;

	while (start < end && isspace((unsigned char)*start))
		start++;
	const char *stop = start;
	while (stop < end && !isspace((unsigned char)*stop))
		stop++;
	*text = stop;
	return stop > start && stop - start < WORD_MAX_SIZE
		   ? xstrndup(start, (size_t)(stop - start))
		   : NULL;
}

static bool has_word(const char *text, const char *end, const char *wanted)
{
	for (;;) {
		auto_free char *word = next_word(&text, end);

		if (!word)
			return false;
		if (strcmp(word, wanted) == 0)
			return true;
	}
}

/* "-updates" for "bookworm-updates", "" for "bookworm", NULL for what is not Debian's. */
static const char *pocket_of(const char *suite)
{
	for (size_t i = 0; i < ARRAY_SIZE(suites); i++) {
		size_t length = strlen(suites[i]);

		if (strncmp(suite, suites[i], length) == 0 &&
		    (suite[length] == '\0' || suite[length] == '-'))
			return suite + length;
	}
	return NULL;
}

static bool is_fetchable(const char *uri)
{
	static const char *const schemes[] = {"http://", "https://", "file:/"};

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (strncmp(uri, schemes[i], strlen(schemes[i])) == 0)
			return true;
	return false;
}

static bool path_ends(const char *uri, size_t length, const char *ending)
{
	size_t n = strlen(ending);

	return length > n && memcmp(uri + length - n, ending, n) == 0;
}

static void consider(const char *uri, const char *suite, struct sources_found *found)
{
	const char *pocket = pocket_of(suite);
	size_t length = strlen(uri);
	char **slot = NULL;

	while (length > 0 && uri[length - 1] == '/')
		length--;
	if (!pocket || !is_fetchable(uri))
		return;
	if (path_ends(uri, length, "/debian-security") && strcmp(pocket, "-security") == 0)
		slot = &found->security;
	else if (path_ends(uri, length, "/debian") && pocket[0] == '\0')
		slot = &found->main;
	else if (path_ends(uri, length, "/debian") && strcmp(pocket, "-updates") == 0)
		slot = &found->updates;
	if (slot && !*slot)
		*slot = xstrndup(uri, length);
}

static void scan_line(const char *line, const char *end, struct sources_found *found)
{
	auto_free char *type = next_word(&line, end);

	if (!type || strcmp(type, "deb") != 0)
		return;
	while (line < end && isspace((unsigned char)*line))
		line++;
	if (line < end && *line == '[') {
		line = memchr(line, ']', (size_t)(end - line));
		if (!line++)
			return;
	}
	auto_free char *uri = next_word(&line, end);
	auto_free char *suite = next_word(&line, end);
	if (uri && suite && has_word(line, end, "main"))
		consider(uri, suite, found);
}

struct field {
	const char *text;
	const char *end;
};

struct stanza {
	struct field types;
	struct field uris;
	struct field suites;
	struct field components;
	struct field enabled;
};

static void finish_stanza(struct stanza *stanza, struct sources_found *found)
{
	const struct stanza s = *stanza;
	const char *uris = s.uris.text;

	*stanza = (struct stanza){0};
	if (!s.types.text || !s.uris.text || !s.suites.text || !s.components.text ||
	    !has_word(s.types.text, s.types.end, "deb") ||
	    !has_word(s.components.text, s.components.end, "main") ||
	    (s.enabled.text && has_word(s.enabled.text, s.enabled.end, "no")))
		return;
	for (;;) {
		auto_free char *uri = next_word(&uris, s.uris.end);
		const char *list = s.suites.text;

		if (!uri)
			return;
		for (;;) {
			auto_free char *suite = next_word(&list, s.suites.end);

			if (!suite)
				break;
			consider(uri, suite, found);
		}
	}
}

/* The field that a line begins, or NULL. */
static struct field *field_of(struct stanza *stanza, const char *line, size_t name_length)
{
	const struct {
		const char *name;
		struct field *field;
	} fields[] = {
	    {"Types", &stanza->types},	   {"URIs", &stanza->uris},
	    {"Suites", &stanza->suites},   {"Components", &stanza->components},
	    {"Enabled", &stanza->enabled},
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (strlen(fields[i].name) == name_length &&
		    strncasecmp(line, fields[i].name, name_length) == 0)
			return fields[i].field;
	return NULL;
}

static void scan_deb822_line(struct stanza *stanza, struct field **current, const char *line,
			     const char *end, struct sources_found *found)
{
	const char *colon = memchr(line, ':', (size_t)(end - line));

	if (line < end && *line == '#')
		return;
	if (line == end) {
		finish_stanza(stanza, found);
		*current = NULL;
	} else if (isspace((unsigned char)*line)) {
		/* A continuation: the field now reaches to the end of this line. */
		if (*current)
			(*current)->end = end;
	} else if (colon) {
		*current = field_of(stanza, line, (size_t)(colon - line));
		if (*current)
			**current = (struct field){.text = colon + 1, .end = end};
	}
}

/* Without the lines that are comments: a continued field is one stretch of text. */
static char *without_comments(const char *text)
{
	char *clean = xmalloc(strlen(text) + 1);
	size_t used = 0;

	while (*text) {
		size_t length = strcspn(text, "\n");

		length += text[length] == '\n';
		if (*text != '#') {
			memcpy(clean + used, text, length);
			used += length;
		}
		text += length;
	}
	clean[used] = '\0';
	return clean;
}

void sources_scan(const char *text, enum sources_format format, struct sources_found *found)
{
	auto_free char *clean = without_comments(text);
	struct stanza stanza = {0};
	struct field *current = NULL;

	for (const char *line = clean; *line;) {
		size_t length = strcspn(line, "\n");

		if (format == SOURCES_LINES)
			scan_line(line, line + length, found);
		else
			scan_deb822_line(&stanza, &current, line, line + length, found);
		line += length + (line[length] == '\n');
	}
	finish_stanza(&stanza, found);
}

void sources_found_done(struct sources_found *found)
{
	free(found->main);
	free(found->updates);
	free(found->security);
	*found = (struct sources_found){0};
}
