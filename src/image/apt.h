#pragma once
/*
 * Packages by apt, in a root of our own: own lists, cache, configuration and an empty status file,
 * so that no right on this host's apt is needed and nothing of it is changed. The lists are
 * refreshed once a day.
 */
#include "base/err.h"
#include "image/sources.h"

struct apt {
	char *directory;    /* everything lies in here */
	char *config;	    /* the file for APT_CONFIG */
	char *architecture; /* "amd64" */
};

/* dpkg's name for this machine's architecture. */
int apt_architecture(char **ret_architecture, struct err *err);

/* Makes or reuses the root in `directory` and brings the lists up to date. */
int apt_open(struct apt *apt, const char *directory, const struct sources *sources,
	     struct err *err);
void apt_done(struct apt *apt);

/* Downloads (or finds in the cache) one package; *ret_deb is the path of the .deb. */
int apt_fetch(const struct apt *apt, const char *package, char **ret_deb, struct err *err);

/* Removes from the cache the packages whose name begins with `prefix`, but for `kept`: names with a
 * version in them would pile up. */
void apt_forget_others(const struct apt *apt, const char *prefix, const char *kept);

/* The first package that `package` depends on whose name begins with `prefix`: from the name that
 * stays (linux-image-cloud-amd64) to the one with the version in it. */
int apt_dependency(const struct apt *apt, const char *package, const char *prefix, char **ret_name,
		   struct err *err);
