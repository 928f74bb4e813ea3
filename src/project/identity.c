#include "project/identity.h"

#include "base/file.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static bool parse_hex(const char *text, uint8_t *ret_bytes, size_t count)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < 2 * count; i++) {
		const char *digit = text[i] ? strchr(digits, text[i]) : NULL;

		if (!digit)
			return false;
		ret_bytes[i / 2] = (uint8_t)(ret_bytes[i / 2] << 4 | (digit - digits));
	}
	return text[2 * count] == '\0' || strcmp(text + 2 * count, "\n") == 0;
}

static void derive(struct identity *identity)
{
	for (size_t i = 0; i < sizeof(identity->bytes); i++)
		(void)snprintf(identity->hex + 2 * i, 3, "%02x", identity->bytes[i]);
	memcpy(identity->mac, identity->bytes, sizeof(identity->mac));
	/* Bit 1: locally administered; bit 0 clear: unicast (IEEE 802). */
	identity->mac[0] = (uint8_t)((identity->mac[0] & 0xfc) | 0x02);
}

int identity_new(int data_dir, struct identity *ret_identity, struct err *err)
{
	struct identity identity = {0};
	char line[34];

	if (getentropy(identity.bytes, sizeof(identity.bytes)) < 0)
		return err_sys(err, "random bytes");
	derive(&identity);
	(void)snprintf(line, sizeof(line), "%s\n", identity.hex);
	*ret_identity = identity;
	return file_write_atomic(data_dir, "id", line, strlen(line), 0600, err);
}

int identity_load(int data_dir, struct identity *ret_identity, struct err *err)
{
	struct identity identity = {0};
	auto_free char *text = NULL;

	if (file_read(data_dir, "id", 64, &text, NULL, err) == 0) {
		if (!parse_hex(text, identity.bytes, sizeof(identity.bytes)))
			return err_set(
			    err, ERR_INVALID,
			    "id: line 1: not 32 hexadecimal digits; remove the file to get a "
			    "new identity");
		derive(&identity);
	} else if (err->code != ERR_NOT_FOUND || identity_new(data_dir, &identity, err) < 0) {
		return -1;
	}
	*ret_identity = identity;
	return 0;
}
