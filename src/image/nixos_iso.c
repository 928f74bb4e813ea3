/*
 * A channel URL redirects to the newest image of its release, and does so anew for every request.
 * So the checksum is fetched first, and the image is taken from beside the place where the checksum
 * was found: the two always belong together.
 */
#include "image/nixos_iso.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/fetch.h"
#include "image/hash.h"
#include "image/progress.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define ISO_MAX	     ((uint64_t)8 << 30)
#define CHECKSUM_MAX ((size_t)4096)
#define FROM_MAX     ((size_t)8192)
#define FROM	     ".from"
#define CHECKSUM     ".sha256"

struct image {
	char *url;
	char *name;
	char hash[HASH_HEX_SIZE];
};

static void image_done(struct image *image)
{
	free(image->url);
	free(image->name);
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text);

	return length > strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static bool is_name(const char *name)
{
	return name[0] != '.' && strlen(name) < NAME_MAX - 16 && ends_with(name, ".iso") &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			    "._+-") == strlen(name);
}

static bool is_release(const char *text)
{
	return strlen(text) <= 32 &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-") == strlen(text) &&
	       isalnum((unsigned char)text[0]);
}

static int request_url(const struct nixos_iso *wish, char **ret_url, struct err *err)
{
	const char *own = getenv("DXVM_NIXOS_URL");
	struct utsname us;

	if (own && own[0]) {
		if ((strncmp(own, "https://", 8) != 0 && strncmp(own, "http://", 7) != 0) ||
		    !is_name(path_base(own)))
			return err_set(err, ERR_USAGE,
				       "DXVM_NIXOS_URL=%s: must be the http or https URL of an "
				       ".iso file",
				       own);
		*ret_url = xstrdup(own);
		return 0;
	}
	if (!is_release(wish->release))
		return err_set(err, ERR_USAGE,
			       "--release %s: must be a release of NixOS such as " NIXOS_RELEASE,
			       wish->release);
	if (uname(&us) < 0)
		return err_sys(err, "uname");
	if (strcmp(us.machine, "x86_64") != 0 && strcmp(us.machine, "aarch64") != 0)
		return err_set(err, ERR_UNSUPPORTED, "NixOS has no installer for %s", us.machine);
	*ret_url =
	    xasprintf("https://channels.nixos.org/nixos-%s/latest-nixos-minimal-%s-linux.iso",
		      wish->release, us.machine);
	return 0;
}

/* Asks the server which image it is now. */
static int resolve(const char *url, struct image *ret_image, bool *ret_offline, struct err *err)
{
	auto_free char *checksum_url = xasprintf("%s" CHECKSUM, url);
	auto_free char *text = NULL;
	auto_free char *found = NULL;
	struct image image = {0};

	progress_stage("asking for the newest image of NixOS");
	if (fetch_text(checksum_url, CHECKSUM_MAX, &text, &found, ret_offline, err) < 0)
		return -1;
	if (!hash_parse(text, image.hash))
		return err_set(err, ERR_INVALID, "%s: there is no SHA-256 in it", found);
	if (ends_with(found, CHECKSUM)) {
		found[strlen(found) - strlen(CHECKSUM)] = '\0';
		image.url = xstrdup(found);
	} else {
		image.url = xstrdup(url);
	}
	image.name = xstrdup(path_base(image.url));
	if (!is_name(image.name)) {
		(void)err_set(err, ERR_INVALID, "%s: not a name for an ISO image", image.url);
		image_done(&image);
		return -1;
	}
	*ret_image = image;
	return 0;
}

static int is_from(const struct dirent *entry)
{
	return ends_with(entry->d_name, ".iso" FROM);
}

/* Reads NAME.iso.from: "HASH  URL". Only one that was asked for by this URL counts. */
static bool read_from(int state, const char *name, const char *url, struct image *ret_image)
{
	auto_free char *text = NULL;
	struct err ignored = ERR_INIT;
	struct image image = {0};

	if (file_read(state, name, FROM_MAX, &text, NULL, &ignored) < 0 ||
	    !hash_parse(text, image.hash))
		return false;
	const char *recorded = text + HASH_HEX_SIZE - 1;
	recorded += strspn(recorded, " ");
	size_t length = strcspn(recorded, "\n");
	if (length != strlen(url) || strncmp(recorded, url, length) != 0)
		return false;
	image.name = xstrndup(name, strlen(name) - strlen(FROM));
	*ret_image = image;
	return true;
}

/* Calls `each` for every image that was once fetched for this URL. */
static int each_fetched(int state, const char *path, const char *url,
			void (*each)(void *ctx, int state, struct image *image), void *ctx,
			struct err *err)
{
	struct dirent **entries;
	int count = scandir(path, &entries, is_from, alphasort);

	if (count < 0)
		return err_sys(err, "read %s", path);
	for (int i = 0; i < count; i++) {
		struct image image;

		if (read_from(state, entries[i]->d_name, url, &image)) {
			each(ctx, state, &image);
			image_done(&image);
		}
		free(entries[i]);
	}
	free(entries);
	return 0;
}

struct newest {
	struct image image;
	struct timespec time;
};

static void keep_newest(void *ctx, int state, struct image *image)
{
	struct newest *newest = ctx;
	struct stat st;

	if (fstatat(state, image->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (newest->image.name && (st.st_mtim.tv_sec < newest->time.tv_sec ||
				   (st.st_mtim.tv_sec == newest->time.tv_sec &&
				    st.st_mtim.tv_nsec <= newest->time.tv_nsec)))
		return;
	image_done(&newest->image);
	newest->image = *image;
	newest->time = st.st_mtim;
	*image = (struct image){0};
}

/* ERR_NOT_FOUND when nothing was fetched for this URL, or it is damaged now. */
static int find_fetched(int state, const char *path, const char *url, struct image *ret_image,
			struct err *err)
{
	struct newest newest = {0};
	int there = 0;

	if (each_fetched(state, path, url, keep_newest, &newest, err) < 0)
		return -1;
	if (newest.image.name)
		there = fetch_has(state, newest.image.name, newest.image.hash, err);
	if (there > 0) {
		*ret_image = newest.image;
		return 0;
	}
	if (there == 0)
		(void)err_set(err, ERR_NOT_FOUND, "%s is not in %s%s", url, path,
			      newest.image.name ? " undamaged" : "");
	image_done(&newest.image);
	return -1;
}

static void remove_other(void *ctx, int state, struct image *image)
{
	const struct image *current = ctx;
	auto_free char *from = xasprintf("%s" FROM, image->name);

	if (strcmp(image->name, current->name) == 0)
		return;
	(void)unlinkat(state, image->name, 0);
	(void)unlinkat(state, from, 0);
}

static int fetch_image(int state, const char *path, const char *url, const struct image *image,
		       struct err *err)
{
	auto_free char *from = xasprintf("%s" FROM, image->name);
	auto_free char *text = xasprintf("%s  %s\n", image->hash, url);
	const struct fetch fetch = {.url = image->url,
				    .hash = image->hash,
				    .dir = state,
				    .place = path,
				    .name = image->name,
				    .max = ISO_MAX};

	if (fetch_file(&fetch, err) < 0 ||
	    file_write_atomic(state, from, text, strlen(text), 0644, err) < 0)
		return -1;
	/* A gigabyte for each update of a release would add up. */
	return each_fetched(state, path, url, remove_other, (void *)(uintptr_t)image, err);
}

static int get_fetched(int state, const char *path, const char *url, struct image *ret_image,
		       struct err *err)
{
	if (find_fetched(state, path, url, ret_image, err) == 0)
		return 0;
	return err->code == ERR_NOT_FOUND
		   ? err_wrap(err, "--offline: run it once without, or give --iso FILE")
		   : -1;
}

static int get(const struct nixos_iso *wish, int state, struct image *ret_image, struct err *err)
{
	auto_free char *url = NULL;
	struct err unavailable = ERR_INIT;
	struct image image = {0};
	bool offline = false;

	if (request_url(wish, &url, err) < 0)
		return -1;
	if (wish->offline)
		return get_fetched(state, wish->state, url, ret_image, err);
	if (resolve(url, &image, &offline, err) < 0) {
		if (!offline || find_fetched(state, wish->state, url, ret_image, &unavailable) < 0)
			return -1;
		progress_note("%s: using %s, which was fetched before", err->text, ret_image->name);
		*err = (struct err)ERR_INIT;
		return 0;
	}
	if (fetch_image(state, wish->state, url, &image, err) < 0) {
		image_done(&image);
		return -1;
	}
	*ret_image = image;
	return 0;
}

static int hash_own(const char *path, char ret_hash[HASH_HEX_SIZE], struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	struct hash *hash;
	int result;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s is not a regular file", path);
	progress_stage("reading %s", path);
	hash = hash_new();
	result = hash_add_file(hash, fd, path, NULL, err);
	hash_take(hash, ret_hash);
	hash_free(hash);
	return result;
}

/* A file of the user's is checked against FILE.sha256, if that is there. */
static int check_own(const char *path, const char *hash, struct err *err)
{
	auto_free char *checksum = xasprintf("%s" CHECKSUM, path);
	auto_free char *text = NULL;
	struct err missing = ERR_INIT;
	char right[HASH_HEX_SIZE];

	if (file_read(AT_FDCWD, checksum, CHECKSUM_MAX, &text, NULL, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND) {
			progress_note("%s is not checked: there is no %s", path, checksum);
			return 0;
		}
		*err = missing;
		return -1;
	}
	if (!hash_parse(text, right))
		return err_set(err, ERR_INVALID, "%s: there is no SHA-256 in it", checksum);
	return strcmp(hash, right) == 0
		   ? 0
		   : err_set(err, ERR_INVALID, "%s does not have the SHA-256 that is in %s", path,
			     checksum);
}

int nixos_iso_get(const struct nixos_iso *wish, char **ret_path, char ret_hash[HASH_HEX_SIZE],
		  struct err *err)
{
	auto_close int state = -1;
	auto_free char *own = NULL;
	struct image image = {0};

	if (wish->file) {
		own = realpath(wish->file, NULL);
		if (!own)
			return err_sys(err, "--iso %s", wish->file);
		if (hash_own(own, ret_hash, err) < 0 || check_own(own, ret_hash, err) < 0)
			return -1;
		*ret_path = take_ptr(&own);
		return 0;
	}
	if (file_open_dir(AT_FDCWD, wish->state, &state, err) < 0 ||
	    get(wish, state, &image, err) < 0)
		return -1;
	*ret_path = path_join(wish->state, image.name);
	memcpy(ret_hash, image.hash, sizeof(image.hash));
	image_done(&image);
	return 0;
}

char *nixos_iso_release(const char *label)
{
	for (const char *p = label; *p; p++)
		if (isdigit((unsigned char)p[0]) && isdigit((unsigned char)p[1]) && p[2] == '.' &&
		    isdigit((unsigned char)p[3]) && isdigit((unsigned char)p[4]) &&
		    !isalnum((unsigned char)p[5]))
			return xstrndup(p, 5);
	return NULL;
}
