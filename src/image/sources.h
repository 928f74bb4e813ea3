#pragma once
/*
 * Where Debian packages come from: DXVM_DEBIAN_MIRROR, else what this host's apt uses for Debian
 * with the release changed, else what mmdebstrap would use by itself. Other archives of the host (a
 * vendor's, another distribution's) are never taken over: they may not have the release.
 */
#include "base/err.h"

#include <stdbool.h>

#define SOURCES_RELEASE "trixie"
#define SOURCES_VERSION "13"

struct sources {
	char *lines; /* a sources.list (one-line format) for use on this host */
	char *proxy; /* apt configuration lines for this host's proxies, "" if there are none */
};

int sources_choose(struct sources *ret_sources, struct err *err);
void sources_done(struct sources *sources);

/* The parts of Debian's archive that a host uses, as URIs. */
struct sources_found {
	char *main; /* NULL: not found */
	char *updates;
	char *security;
};

enum sources_format {
	SOURCES_LINES,	/* "deb [options] URI suite component..." */
	SOURCES_DEB822, /* stanzas of "Types:", "URIs:", "Suites:", "Components:" */
};

/* Adds what the text of a sources file names and is not known yet (sources.list(5)). */
void sources_scan(const char *text, enum sources_format format, struct sources_found *found);
void sources_found_done(struct sources_found *found);

/* Text from this host that is to stand in the guest: a server on the host's loopback is reached
 * from the guest at the gateway of QEMU's user network. The caller's. */
char *sources_for_guest(const char *text);
