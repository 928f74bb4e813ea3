#include "agent/accounts.h"

#include "agent/user.h"
#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>
#include <string.h>

#define LINE_MAX_EXTRA 8192 /* what our line may add to a file */

bool accounts_name_will_do(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > ACCOUNTS_NAME_MAX || (!islower((unsigned char)name[0]) && name[0] != '_'))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]) &&
		    name[i] != '_' && name[i] != '-')
			return false;
	return true;
}

/* A copy of the next line without its newline; NULL at the end. */
static char *next_line(const char **at)
{
	size_t length = strcspn(*at, "\n");
	char *line;

	if (**at == '\0')
		return NULL;
	line = xstrndup(*at, length);
	*at += length + ((*at)[length] == '\n');
	return line;
}

static bool is_id(const char *field, uint32_t id)
{
	char *end;
	unsigned long value = strtoul(field, &end, 10);

	return *field != '\0' && *end == '\0' && value == id;
}

static void append_passwd(struct buf *out, const struct account *account, const char *gecos,
			  const char *home, const char *shell)
{
	(void)buf_printf(out, "%s:x:%u:%u:%s:%s:%s\n", account->name, account->uid, account->gid,
			 gecos, home, shell);
}

char *accounts_passwd(const char *text, const struct account *account)
{
	struct buf out;
	auto_free char *gecos = xstrdup("");
	auto_free char *shell = xstrdup(account->shell);
	auto_free char *home = xstrdup(account->home);
	const char *at = text;
	bool written = false;
	char *line;

	/* What an account of that name has: kept. */
	while ((line = next_line(&at))) {
		char *fields[USER_PASSWD_FIELDS];

		if (user_split(line, fields, USER_PASSWD_FIELDS) == USER_PASSWD_FIELDS &&
		    strcmp(fields[0], account->name) == 0) {
			free(gecos);
			gecos = xstrdup(fields[4]);
			if (fields[5][0] == '/') {
				free(home);
				home = xstrdup(fields[5]);
			}
			if (fields[6][0] == '/') {
				free(shell);
				shell = xstrdup(fields[6]);
			}
		}
		free(line);
	}
	buf_init(&out, strlen(text) + LINE_MAX_EXTRA);
	at = text;
	while ((line = next_line(&at))) {
		auto_free char *cut = xstrdup(line);
		char *fields[USER_PASSWD_FIELDS];
		bool understood = user_split(cut, fields, USER_PASSWD_FIELDS) == USER_PASSWD_FIELDS;
		bool ours = understood && strcmp(fields[0], account->name) == 0;

		if (!written && understood && (ours || is_id(fields[2], account->uid))) {
			append_passwd(&out, account, gecos, home, shell);
			written = true;
		}
		if (!ours)
			(void)buf_printf(&out, "%s\n", line);
		free(line);
	}
	if (!written)
		append_passwd(&out, account, gecos, home, shell);
	return buf_take_string(&out);
}

char *accounts_group(const char *text, const struct account *account)
{
	struct buf out;
	auto_free char *copy = xstrdup(text);
	const char *at = text;
	bool name_taken = false;
	char *line;

	buf_init(&out, strlen(text) + LINE_MAX_EXTRA);
	while ((line = next_line(&at))) {
		char *fields[3];
		bool understood = user_split(line, fields, ARRAY_SIZE(fields)) >= 3;
		bool has_gid = understood && is_id(fields[2], account->gid);

		name_taken = name_taken || (understood && strcmp(fields[0], account->name) == 0);
		free(line);
		if (has_gid)
			return take_ptr(&copy);
	}
	(void)buf_append_string(&out, text);
	if (*text && text[strlen(text) - 1] != '\n')
		(void)buf_append_string(&out, "\n");
	if (name_taken)
		(void)buf_printf(&out, "dxvm-%u:x:%u:\n", account->gid, account->gid);
	else
		(void)buf_printf(&out, "%s:x:%u:\n", account->name, account->gid);
	return buf_take_string(&out);
}

char *accounts_shadow(const char *text, const struct account *account)
{
	size_t length = strlen(account->name);
	const char *at = text;
	struct buf out;

	for (; *at; at += strcspn(at, "\n"), at += *at == '\n')
		if (strncmp(at, account->name, length) == 0 && at[length] == ':')
			return xstrdup(text);
	buf_init(&out, strlen(text) + LINE_MAX_EXTRA);
	(void)buf_append_string(&out, text);
	if (*text && text[strlen(text) - 1] != '\n')
		(void)buf_append_string(&out, "\n");
	(void)buf_printf(&out, "%s:*:::::::\n", account->name);
	return buf_take_string(&out);
}
