#include "agent/environment.h"

#include "agent/locale.h"
#include "agent/programs.h"
#include "base/mem.h"
#include "wire/proto.h"

#include <stdio.h>
#include <string.h>

/* Debian's directories, then those of NixOS, where sudo is among the wrappers. */
#define USUAL_PATH                                                                                 \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/wrappers/bin:"          \
	"/nix/var/nix/profiles/default/bin:/run/current-system/sw/bin:" PROGRAMS ":" PROTO_TOOLS
#define TERM_MAX 128
#define BASE_MAX 8

static const char *const databases_known[] = {
    "/etc/terminfo",
    "/lib/terminfo",
    "/usr/share/terminfo",
    "/run/current-system/sw/share/terminfo",
    NULL,
};

static const char *const locales_known[] = {
    "/usr/lib/locale",
    "/run/current-system/sw/lib/locale",
    NULL,
};

static bool has_name(const char *entry, const char *name, size_t length)
{
	return strncmp(entry, name, length) == 0 && entry[length] == '=';
}

const char *environment_get(char *const *environment, const char *name)
{
	for (char *const *entry = environment; *entry; entry++)
		if (has_name(*entry, name, strlen(name)))
			return *entry + strlen(name) + 1;
	return NULL;
}

/* A name that leads nowhere else in the file system. */
static bool term_will_do(const char *term)
{
	return term && term[0] != '\0' && term[0] != '.' && strlen(term) < TERM_MAX &&
	       !strchr(term, '/');
}

static bool is_in_database(const char *term, const char *database)
{
	auto_free char *path = xasprintf("%s/%c/%s", database, term[0], term);

	return access(path, R_OK) == 0;
}

const char *environment_term(const char *term, const char *const *databases)
{
	const char *const candidates[] = {term, "xterm-256color", "xterm", "linux", "vt100"};

	for (size_t i = 0; i < ARRAY_SIZE(candidates); i++)
		for (const char *const *database = databases;
		     *database && term_will_do(candidates[i]); database++)
			if (is_in_database(candidates[i], *database))
				return candidates[i];
	return term && strcmp(term, "dumb") == 0 ? "dumb" : "linux";
}

/* Puts an entry (now the vector's) in the place of one of the same name, or at the end. */
static void put(char **vector, size_t *count, char *entry)
{
	size_t length = strcspn(entry, "=");

	/* Only the base can clash: two of the same name from the client stay as they are. */
	for (size_t i = 0; i < *count && i < BASE_MAX; i++) {
		if (has_name(vector[i], entry, length)) {
			free(vector[i]);
			vector[i] = entry;
			return;
		}
	}
	vector[(*count)++] = entry;
}

/* Not a variable, or one that names a locale the guest does not have: the base's LANG stays. */
static bool is_dropped(const char *entry)
{
	const char *value = strchr(entry, '=');

	if (!value || value == entry)
		return true;
	return (has_name(entry, "LANG", strlen("LANG")) || strncmp(entry, "LC_", 3) == 0) &&
	       !locale_known(value + 1, locales_known);
}

char **environment_make(const struct user *user, const char *path, const struct nix_sources *nix,
			bool tty, char *const *given)
{
	size_t count = 0;
	size_t given_count = 0;
	const char *term;
	char *nix_config = nix_sources_variable(nix, environment_get(given, "DXVM_SUBSTITUTERS"),
						environment_get(given, "DXVM_TRUSTED_KEYS"));
	char **vector;

	while (given[given_count])
		given_count++;
	vector = xcalloc(BASE_MAX + 1 + given_count + 1, sizeof(*vector));
	put(vector, &count, xasprintf("PATH=%s", path ? path : USUAL_PATH));
	put(vector, &count, xasprintf("HOME=%s", user->home));
	put(vector, &count, xasprintf("USER=%s", user->name));
	put(vector, &count, xasprintf("LOGNAME=%s", user->name));
	put(vector, &count, xasprintf("SHELL=%s", user->shell));
	put(vector, &count, xstrdup("LANG=C.UTF-8"));
	put(vector, &count, xasprintf("XDG_RUNTIME_DIR=/run/user/%lu", (unsigned long)user->uid));
	put(vector, &count, xasprintf("TERM=%s", tty ? "" : "dumb"));
	if (nix_config)
		vector[count++] = nix_config;
	for (size_t i = 0; i < given_count; i++)
		if (!is_dropped(given[i]))
			put(vector, &count, xstrdup(given[i]));
	if (tty) {
		term = environment_term(environment_get(vector, "TERM"), databases_known);
		put(vector, &count, xasprintf("TERM=%s", term));
	}
	return vector;
}
