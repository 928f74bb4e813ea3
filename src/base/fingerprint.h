#pragma once
/*
 * Which environment a project's files describe, as a number: the same in the guest and on the host
 * as long as devbox.json and devbox.lock hold the same bytes. No secret, and no proof of anything:
 * FNV-1a, for telling a person that something has changed.
 *
 * Who opens an environment in the guest writes that number for who started the session to read
 * (struct session of the agent): in host byte order, at the start of the file that is open as
 * FINGERPRINT_FD, if that is a file made for it, namely one that cannot shrink or grow.
 */
#include <stdint.h>

#define FINGERPRINT_FD	 3
#define FINGERPRINT_NONE 0

/* Of the project in this directory. Never FINGERPRINT_NONE. A file that is missing, a link, no
 * regular file or larger than any that devbox would read counts as one without content. */
uint64_t fingerprint_project(const char *root);

/* In the guest's program: first of all, so that nobody it starts has the file; then once the
 * environment is made. Both do nothing where there is no such file. */
void fingerprint_claim(void);
void fingerprint_leave(uint64_t fingerprint);
