#pragma once
/*
 * Proof that a saved state was written by this user's dxvm, for this VM: HMAC-SHA256 under a key of
 * 32 random bytes that lies beside the registry, outside of every project. A data directory can
 * come with a cloned repository; what would become the memory of a machine that has the project
 * mounted must not.
 *
 * libnettle: 0.1 ms at the start of dxvm, where libcrypto and its friends took ten; the kernel's
 * own (AF_ALG) is missing in containers, gVisor and on macOS.
 */
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define SAVED_MAC_SIZE 32

/* Over the context (a word) and the bytes. Makes the key when there is none yet; ERR_SYSTEM when it
 * cannot be had. */
int saved_key_sign(const char *context, const void *bytes, size_t length,
		   uint8_t ret_mac[SAVED_MAC_SIZE], struct err *err);
/* ERR_INVALID when it was not signed with this key. */
int saved_key_check(const char *context, const void *bytes, size_t length,
		    const uint8_t mac[SAVED_MAC_SIZE], struct err *err);
