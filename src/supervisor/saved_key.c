#include "supervisor/saved_key.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <fcntl.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <string.h>
#include <sys/random.h>

#define KEY_NAME "key"
#define KEY_LOCK "key.lock"
#define KEY_SIZE 32

_Static_assert(SAVED_MAC_SIZE == SHA256_DIGEST_SIZE, "HMAC-SHA256");

static int make_key(int dir, uint8_t ret_key[KEY_SIZE], struct err *err)
{
	if (getentropy(ret_key, KEY_SIZE) < 0)
		return err_sys(err, "random bytes");
	return file_write_atomic(dir, KEY_NAME, ret_key, KEY_SIZE, 0600, err);
}

static int load_key(uint8_t ret_key[KEY_SIZE], struct err *err)
{
	auto_free char *path = path_state_dir(err);
	auto_free char *text = NULL;
	auto_close int dir = -1;
	auto_close int lock = -1;
	struct err missing = ERR_INIT;
	size_t length = 0;

	if (!path || file_mkdirs(path, 0700, err) < 0 ||
	    file_open_dir(AT_FDCWD, path, &dir, err) < 0 ||
	    file_lock(dir, KEY_LOCK, true, &lock, err) < 0)
		return -1;
	if (file_read(dir, KEY_NAME, KEY_SIZE, &text, &length, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return make_key(dir, ret_key, err);
		*err = missing;
		return -1;
	}
	if (length != KEY_SIZE)
		return err_set(err, ERR_INVALID,
			       "%s/" KEY_NAME
			       " has %zu bytes instead of %d: remove it to get a new "
			       "one",
			       path, length, KEY_SIZE);
	memcpy(ret_key, text, KEY_SIZE);
	explicit_bzero(text, length);
	return 0;
}

int saved_key_sign(const char *context, const void *bytes, size_t length,
		   uint8_t ret_mac[SAVED_MAC_SIZE], struct err *err)
{
	struct hmac_sha256_ctx hmac;
	uint8_t key[KEY_SIZE];

	if (load_key(key, err) < 0) {
		err->code = ERR_SYSTEM; /* says nothing of what was or is to be signed */
		return err_wrap(err, "the key for saved states");
	}
	hmac_sha256_set_key(&hmac, sizeof(key), key);
	hmac_sha256_update(&hmac, strlen(context) + 1, (const uint8_t *)context);
	hmac_sha256_update(&hmac, length, bytes);
	hmac_sha256_digest(&hmac, SAVED_MAC_SIZE, ret_mac);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(&hmac, sizeof(hmac));
	return 0;
}

int saved_key_check(const char *context, const void *bytes, size_t length,
		    const uint8_t mac[SAVED_MAC_SIZE], struct err *err)
{
	uint8_t ours[SAVED_MAC_SIZE];

	if (saved_key_sign(context, bytes, length, ours, err) < 0)
		return -1;
	if (!memeql_sec(ours, mac, sizeof(ours)))
		return err_set(err, ERR_INVALID, "it is damaged, or was not written here");
	return 0;
}
