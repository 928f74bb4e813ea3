#include "image/base_image.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/cancel.h"
#include "image/hash.h"
#include "image/lock.h"
#include "image/progress.h"
#include "image/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define INPUTS_MAX  ((size_t)1 << 20)
#define PART	    ".part"
#define HASH_DIGITS 12
#define UNUSED_S    (30L * 24 * 3600)

static int is_part(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > sizeof(PART) && strcmp(entry->d_name + length - strlen(PART), PART) == 0;
}

/* Under the lock nobody else is making anything, so every part is a leftover. */
static int remove_parts(const char *base, struct err *err)
{
	struct dirent **entries;
	int count = scandir(base, &entries, is_part, alphasort);
	int result = count < 0 ? err_sys(err, "read %s", base) : 0;

	for (int i = 0; i < count; i++) {
		auto_free char *path = path_join(base, entries[i]->d_name);

		if (result == 0)
			result = remove_tree(path, err);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return result;
}

/* Of the same recipe. What somebody copies from now was marked as used just before. */
static bool is_unused(const struct recipe *recipe, const char *image, const char *path)
{
	const char *name = path_base(path);
	size_t length = strlen(recipe->name);
	struct stat st;

	return strncmp(name, recipe->name, length) == 0 && name[length] == '-' &&
	       strcmp(path, image) != 0 && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_mtime < time(NULL) - UNUSED_S;
}

/* One that cannot be removed costs only its room. */
static void remove_unused(const struct recipe *recipe, const char *base, const char *image)
{
	struct dirent **entries;
	int count = scandir(base, &entries, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		auto_free char *path = path_join(base, entries[i]->d_name);
		struct err ignored = ERR_INIT;

		if (is_unused(recipe, image, path))
			(void)remove_tree(path, &ignored);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

static char *image_name(const struct recipe *recipe, const struct sources *sources,
			const char *architecture)
{
	auto_buf struct buf inputs;
	char hash[HASH_HEX_SIZE];

	buf_init(&inputs, INPUTS_MAX);
	(void)buf_printf(&inputs, "%s %u %s\n%s", recipe->name, recipe->version, architecture,
			 sources->lines);
	if (recipe->add_inputs)
		recipe->add_inputs(&inputs);
	hash_hex(buf_data(&inputs), buf_length(&inputs), hash);
	return xasprintf("%s-%s-%s-%.*s", recipe->name, SOURCES_VERSION, architecture, HASH_DIGITS,
			 hash);
}

static int sync_and_rename(const char *from, const char *to, struct err *err)
{
	auto_free char *base = xstrndup(to, (size_t)(path_base(to) - to));
	auto_close int content = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int parent = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (content < 0 || parent < 0 || fsync(content) < 0)
		return err_sys(err, "sync %s", from);
	if (rename(from, to) < 0)
		return err_sys(err, "rename to %s", to);
	return fsync(parent) < 0 ? err_sys(err, "sync %s", base) : 0;
}

static int make_in(const struct recipe *recipe, const struct sources *sources,
		   const struct apt *apt, const char *state, const char *part, const char *image,
		   struct err *err)
{
	auto_free char *scratch = path_join(part, "scratch");
	auto_free char *output = path_join(part, "output");

	if (file_mkdirs(scratch, 0755, err) < 0 || file_mkdirs(output, 0755, err) < 0)
		return -1;
	auto_close int directory = open(output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return err_sys(err, "open %s", output);
	struct recipe_context context = {
	    .sources = sources,
	    .apt = apt,
	    .state = state,
	    .scratch = scratch,
	    .output = directory,
	};
	if (recipe->make(&context, err) < 0 || cancel_check(err) < 0)
		return -1;
	return sync_and_rename(output, image, err);
}

/* With the lock held. */
static int make(const struct recipe *recipe, const struct sources *sources, const char *state,
		const char *base, const char *image, struct err *err)
{
	auto_free char *part = xasprintf("%s" PART, image);
	auto_free char *root = path_join(state, "apt");
	struct err ignored = ERR_INIT;
	struct apt apt;
	int result;

	if (remove_parts(base, err) < 0)
		return -1;
	if (access(image, F_OK) == 0)
		return 0; /* made while we waited */
	if ((recipe->check && recipe->check(state, err) < 0) ||
	    apt_open(&apt, root, sources, err) < 0)
		return -1;
	result = make_in(recipe, sources, &apt, state, part, image, err);
	apt_done(&apt);
	/* What cannot be removed now is removed by the next run; its own failure counts more. */
	(void)remove_tree(part, &ignored);
	if (result == 0)
		remove_unused(recipe, base, image);
	return result;
}

int base_image_open(const struct recipe *recipe, const char *state, int *ret_dir, struct err *err)
{
	auto_free char *base = path_join(state, "base");
	auto_free char *architecture = NULL;
	struct sources sources;
	auto_close int held = -1;
	int result = 0;

	if (file_mkdirs(base, 0700, err) < 0 || apt_architecture(&architecture, err) < 0 ||
	    sources_choose(&sources, err) < 0)
		return -1;
	auto_free char *name = image_name(recipe, &sources, architecture);
	auto_free char *image = path_join(base, name);
	auto_free char *lock = path_join(base, "lock");
	if (access(image, F_OK) < 0) {
		result =
		    lock_wait(AT_FDCWD, lock, "another dxvm is making a base image: waiting for it",
			      &held, err);
		if (result == 0)
			result = make(recipe, &sources, state, base, image, err);
	}
	sources_done(&sources);
	if (result < 0)
		return err_wrap(err, "make base image %s", recipe->name);
	if (file_open_dir(AT_FDCWD, image, ret_dir, err) < 0)
		return -1;
	(void)futimens(*ret_dir, NULL); /* used now */
	return 0;
}
