#include "agent/nix.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX	   ".pub"
#define KEY_MAX	   ((size_t)512)
#define CONFIG_MAX ((size_t)1 << 20)
#define BASE64	   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="

/* Nix asks those with the lower number first; cache.nixos.org has 40. */
#define PRIORITY "?priority=10"

/* "NAME:BASE64", as `nix key` prints it, and not a word that would mean something else in
 * nix.conf. */
static bool is_key(const char *text)
{
	const size_t name = strcspn(text, ":");
	const char *value = text + name + 1;

	return name > 0 && text[name] == ':' && *value && value[strspn(value, BASE64)] == '\0' &&
	       strcspn(text, " \t\r\n#") > name;
}

static bool ends_in_suffix(const char *name)
{
	const size_t length = strlen(name);

	return length > strlen(SUFFIX) && strcmp(name + length - strlen(SUFFIX), SUFFIX) == 0;
}

/* Whether that file's key is among the keys now. */
static bool add_key(int dir, const char *name, struct buf *keys)
{
	auto_free char *text = NULL;
	struct err err = ERR_INIT;

	if (file_read(dir, name, KEY_MAX, &text, NULL, &err) < 0) {
		log_warn("nix", "the binary cache: %s", err.text);
		return false;
	}
	text[strcspn(text, "\r\n")] = '\0';
	if (!is_key(text)) {
		log_warn("nix", "the binary cache: %s: no public key NAME:BASE64 on line 1", name);
		return false;
	}
	return buf_printf(keys, "%s%s", buf_length(keys) > 0 ? " " : "", text) == 0;
}

static char *read_keys(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	struct buf keys;
	size_t count = 0;
	char *text;

	buf_init(&keys, NIX_KEYS_MAX * (KEY_MAX + 1));
	while (dir && count < NIX_KEYS_MAX && (entry = readdir(dir)))
		if (ends_in_suffix(entry->d_name) && add_key(dirfd(dir), entry->d_name, &keys))
			count++;
	if (dir)
		(void)closedir(dir);
	text = buf_take_string(&keys);
	buf_done(&keys);
	return text;
}

void nix_sources_find(const char *path, bool network, struct nix_sources *ret_sources)
{
	*ret_sources = (struct nix_sources){
	    .cache = path ? xasprintf("file://%s" PRIORITY, path) : NULL,
	    .keys = path ? read_keys(path) : NULL,
	    .offline = !network,
	};
}

void nix_sources_done(struct nix_sources *sources)
{
	free(sources->cache);
	free(sources->keys);
	*sources = (struct nix_sources){.cache = NULL};
}

/* One line of nix.conf, whatever white space the words are given with. */
static void add_line(struct buf *config, const char *name, const char *first, const char *more)
{
	auto_free char *words = xasprintf("%s %s", first ? first : "", more ? more : "");
	char *save = NULL;
	const char *before = name;

	for (const char *word = strtok_r(words, " \t\r\n", &save); word;
	     word = strtok_r(NULL, " \t\r\n", &save)) {
		(void)buf_printf(config, "%s%s%s", before, before == name ? " = " : " ", word);
		before = "";
	}
	if (before != name)
		(void)buf_append(config, "\n", 1);
}

char *nix_sources_variable(const struct nix_sources *sources, const char *substituters,
			   const char *keys)
{
	struct buf config;
	char *text = NULL;

	buf_init(&config, CONFIG_MAX);
	add_line(&config, "extra-substituters", sources->cache, substituters);
	/* Without a network card Nix would take no substituter at all for reachable. */
	if (buf_length(&config) > 0)
		add_line(&config, "substitute", "true", NULL);
	add_line(&config, "extra-trusted-public-keys", sources->keys, keys);
	/* The others are asked all the same, and there is nothing to wait for. */
	if (sources->offline)
		add_line(&config, "download-attempts", "1", NULL);
	if (buf_length(&config) > 0) {
		auto_free char *lines = buf_take_string(&config);

		text = xasprintf("NIX_CONFIG=%s", lines);
	}
	buf_done(&config);
	return text;
}
