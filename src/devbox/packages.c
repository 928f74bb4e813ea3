#include "devbox/packages.h"

#include "base/mem.h"
#include "base/safe_text.h"
#include "devbox/say.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The names that devbox has a plugin for. Others of the same family ("php81Packages.composer") have
 * none. */
#define NAME_MAX_LENGTH 255
static const char plugins[] =
    "^(apache(Httpd)?|caddy|elixir|gradle(_[0-9])?|ghc|haskell(\\.compiler\\..*)?"
    "|mariadb(-embedded)?_?[0-9]*|mysql(80|57|50)?|nginx|nodejs(-slim)?_?[0-9]*|php[0-9]*"
    "|pip|python3[0-9]*Packages.pip|([[:alnum:]_]*\\.)?poetry|postgresql(_[0-9]+)?"
    "|python[0-9]*(Full|Minimal|-full|-minimal)?|redis|j?ruby([0-9_]*[0-9])?|rustc|rustup|valkey)$";

static bool has(const struct json *list, const char *text)
{
	for (size_t i = 0; list && i < list->count; i++)
		if (strcmp(config_text(list->items[i]), text) == 0)
			return true;
	return false;
}

static bool is_for(const struct config_package *package, const char *system)
{
	if (package->platforms && package->platforms->count > 0)
		return has(package->platforms, system);
	return !has(package->excluded_platforms, system);
}

static bool has_plugin(const struct config_package *package, const regex_t *names)
{
	return !package->plugin_off && strlen(package->name) <= NAME_MAX_LENGTH &&
	       regexec(names, package->name, 0, NULL, 0) == 0;
}

/* Why there is no path. The caller's. */
static char *reason(const struct project *project, const struct config_package *package,
		    const struct lock_answer *answer)
{
	if (answer->missing)
		return xasprintf("its output \"%s\" is not in %s for %s", answer->missing,
				 project->lock.file, project->system);
	if (strncmp(package->name, "runx:", 5) == 0)
		return xstrdup("needs devbox: it is no Nix package");
	if (strchr(package->name, ':') || package->name[0] == '.' || package->name[0] == '/')
		return xstrdup("needs devbox: it is a flake, which has to be evaluated");
	return xasprintf("needs devbox: %s has no path of it for %s", project->lock.file,
			 project->system);
}

static void add(struct packages *packages, const char *path, const char *owner)
{
	for (size_t i = 0; i < packages->count; i++)
		if (strcmp(packages->paths[i], path) == 0)
			return;
	packages->paths[packages->count] = path;
	packages->owners[packages->count++] = owner;
}

static void note_plugins(const struct project *project, struct buf *notes)
{
	auto_free char *names = xstrdup("");
	regex_t regex;

	if (regcomp(&regex, plugins, REG_EXTENDED | REG_NOSUB) != 0)
		abort(); /* no memory */
	for (size_t i = 0; i < project->config.package_count; i++) {
		const struct config_package *package = &project->config.packages[i];

		if (!is_for(package, project->system) || !has_plugin(package, &regex))
			continue;
		auto_free char *longer =
		    xasprintf("%s%s%s", names, *names ? ", " : "", package->name);
		free(names);
		names = take_ptr(&longer);
	}
	regfree(&regex);
	if (*names)
		say_later(notes, "without devbox's plugins (variables, services) for %s", names);
	if (project->config.include && project->config.include->count > 0)
		say_later(notes, "\"include\" of devbox.json needs devbox: left out");
}

int packages_resolve(const struct project *project, struct buf *notes,
		     struct packages *ret_packages, struct err *err)
{
	const struct config *config = &project->config;
	const size_t room = config->package_count * LOCK_PATHS + 1;
	struct packages packages = {
	    .paths = xcalloc(room, sizeof(*packages.paths)),
	    .owners = xcalloc(room, sizeof(*packages.owners)),
	};

	for (size_t i = 0; i < config->package_count; i++) {
		const struct config_package *package = &config->packages[i];
		struct lock_answer answer;

		if (!is_for(package, project->system))
			continue;
		if (lock_find(&project->lock, package, project->system, &answer, err) < 0) {
			packages_done(&packages);
			return -1;
		}
		for (size_t k = 0; k < answer.count; k++)
			add(&packages, answer.paths[k], package->key);
		if (answer.count > 0)
			continue;
		auto_free char *why = reason(project, package, &answer);
		say_later(notes, "%s: %s", package->key, why);
	}
	note_plugins(project, notes);
	*ret_packages = packages;
	return 0;
}

void packages_done(struct packages *packages)
{
	free(packages->paths);
	free(packages->owners);
	*packages = (struct packages){.count = 0};
}

int packages_print(const struct project *project, struct err *err)
{
	for (size_t i = 0; i < project->config.package_count; i++) {
		const struct config_package *package = &project->config.packages[i];
		auto_free char *safe =
		    safe_text(package->key, strlen(package->key), SAFE_TEXT_LINE);
		struct lock_answer answer;

		if (lock_find(&project->lock, package, project->system, &answer, err) < 0)
			return -1;
		(void)printf("%s", safe);
		if (!is_for(package, project->system)) {
			(void)printf("\tnot for %s\n", project->system);
			continue;
		}
		for (size_t k = 0; k < answer.count; k++)
			(void)printf("\t%s", answer.paths[k]);
		if (answer.count == 0) {
			auto_free char *why = reason(project, package, &answer);
			auto_free char *safe_why = safe_text(why, strlen(why), SAFE_TEXT_LINE);

			(void)printf("\t%s", safe_why);
		}
		(void)putchar('\n');
	}
	return 0;
}
