#pragma once
/*
 * What Nix in sessions is told besides its own configuration: the binary cache that the host lends
 * (a share of its own, read-only, at PROTO_NIX_CACHE), and what the client names in its environment
 * (DXVM_SUBSTITUTERS, DXVM_TRUSTED_KEYS). It travels as NIX_CONFIG, so that nothing in the guest's
 * /etc is written and every program of Nix's has it, devbox's too.
 *
 * Packages from a cache are believed when they are signed: with a key that the cache itself has in
 * a file NAME.pub, for whoever chose the cache wrote that, or with one the client names.
 */
#include <stdbool.h>

#define NIX_KEYS_MAX 16

/* Found once, when the guest is configured. */
struct nix_sources {
	char *cache; /* URI; NULL: the host lends none */
	char *keys;  /* of that cache, with a space between them */
	bool offline;
};

/* Looks at the cache mounted at `path`; NULL: there is none. Asks the share, so it may block. */
void nix_sources_find(const char *path, bool network, struct nix_sources *ret_sources);
void nix_sources_done(struct nix_sources *sources);

/* "NIX_CONFIG=..." or NULL when there is nothing to say. The caller's. */
char *nix_sources_variable(const struct nix_sources *sources, const char *substituters,
			   const char *keys);
