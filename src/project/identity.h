#pragma once
/*
 * Who a VM is: 16 random bytes, in the file `id` as 32 hex digits, made once. The MAC address and
 * the guest's machine id derive from it, so that they stay the same over its life and differ
 * between VMs.
 */
#include "base/err.h"

#include <stdint.h>

struct identity {
	uint8_t bytes[16];
	char hex[33];
	uint8_t mac[6]; /* locally administered, unicast */
};

/* Gives the directory a new identity: for a VM that is made now. */
int identity_new(int data_dir, struct identity *ret_identity, struct err *err);

/* Reads `id`, and makes it where there is none. ERR_INVALID when it is not 32 hex digits. */
int identity_load(int data_dir, struct identity *ret_identity, struct err *err);
