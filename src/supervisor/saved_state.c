#include "supervisor/saved_state.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "project/saved.h"
#include "supervisor/saved_ram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define GENERATION_NAME "generation"
#define DISK_NAME	"disk.img"
#define KERNEL_NAME	"boot/kernel"
#define INITRD_NAME	"boot/initrd"
#define CPUINFO_MAX	16384

/* -- generation -- */

static int renew_generation(int data_dir, struct err *err)
{
	uint8_t generation[16];

	if (getentropy(generation, sizeof(generation)) < 0)
		return err_sys(err, "random bytes");
	return file_write_atomic(data_dir, GENERATION_NAME, generation, sizeof(generation), 0600,
				 err);
}

static int read_generation(int data_dir, uint8_t ret_generation[16], struct err *err)
{
	auto_free char *text = NULL;
	size_t length = 0;

	if (file_read(data_dir, GENERATION_NAME, 16, &text, &length, err) < 0)
		return -1;
	if (length != 16)
		return err_set(err, ERR_INVALID, GENERATION_NAME " is damaged");
	memcpy(ret_generation, text, 16);
	return 0;
}

/* Without one nothing that was saved fits: what is saved next makes it. */
static int drop_generation(int data_dir, struct err *err)
{
	if (file_remove(data_dir, GENERATION_NAME, err) < 0)
		return -1;
	return file_sync(data_dir, GENERATION_NAME, err);
}

static int have_generation(int data_dir, uint8_t ret_generation[16], struct err *err)
{
	struct err missing = ERR_INIT;

	if (read_generation(data_dir, ret_generation, &missing) == 0)
		return 0;
	if (renew_generation(data_dir, err) < 0)
		return -1;
	return read_generation(data_dir, ret_generation, err);
}

static void identify_files(int data_dir, struct saved_manifest *ret_manifest)
{
	saved_file_identify(data_dir, DISK_NAME, &ret_manifest->disk);
	saved_file_identify(data_dir, KERNEL_NAME, &ret_manifest->kernel);
	saved_file_identify(data_dir, INITRD_NAME, &ret_manifest->initrd);
}

/* -- writing -- */

static int open_saved_dir(int data_dir, int *ret_dir, struct err *err)
{
	return file_mkdir(data_dir, SAVED_DIR, 0700, NULL, err) < 0
		   ? -1
		   : file_open_dir(data_dir, SAVED_DIR, ret_dir, err);
}

static int write_blob(int dir, const char *name, int from, uint64_t bytes, struct saved_blob *blob,
		      const atomic_bool *cancel, struct err *err)
{
	auto_close int fd = -1;

	blob->bytes = bytes;
	free(blob->sums);
	blob->sums = xcalloc(saved_pieces(bytes) + 1, sizeof(*blob->sums));
	if (bytes == 0)
		return 0;
	if (file_create(dir, name, 0600, &fd, err) < 0 ||
	    saved_ram_write(from, fd, bytes, blob->sums, cancel, err) < 0 ||
	    file_sync(fd, name, err) < 0)
		return err_wrap(err, SAVED_DIR "/%s", name);
	return 0;
}

static int size_of(int fd, const char *what, uint64_t *ret_bytes, struct err *err)
{
	struct stat st = {.st_size = 0};

	if (fd >= 0 && fstat(fd, &st) < 0)
		return err_sys(err, "%s", what);
	if ((uint64_t)st.st_size > SAVED_BLOB_MAX)
		return err_set(err, ERR_INVALID, "%s: %lld bytes are too many", what,
			       (long long)st.st_size);
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

static int sync_disk(int data_dir, struct err *err)
{
	auto_close int disk = openat(data_dir, DISK_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (disk < 0)
		return errno == ENOENT ? 0 : err_sys(err, DISK_NAME);
	return file_sync(disk, DISK_NAME, err);
}

static int write_all(int data_dir, int dir, const struct identity *identity,
		     const struct saved_memory *memory, struct saved_manifest *manifest,
		     const atomic_bool *cancel, struct err *err)
{
	auto_free char *bytes = NULL;
	uint64_t state_bytes;
	uint64_t share_bytes;
	size_t length;

	if (size_of(memory->state, "the machine's state", &state_bytes, err) < 0 ||
	    size_of(memory->share, "the share's state", &share_bytes, err) < 0 ||
	    have_generation(data_dir, manifest->generation, err) < 0 ||
	    write_blob(dir, SAVED_DEVICES, memory->state, state_bytes, &manifest->state, cancel,
		       err) < 0 ||
	    write_blob(dir, SAVED_SHARE, memory->share, share_bytes, &manifest->share, cancel,
		       err) < 0 ||
	    write_blob(dir, SAVED_RAM, memory->ram, memory->ram_bytes, &manifest->ram, cancel,
		       err) < 0 ||
	    sync_disk(data_dir, err) < 0)
		return -1;
	/* Only now: what the disk was synced for may have touched its time. */
	identify_files(data_dir, manifest);
	if (saved_manifest_seal(manifest, identity->hex, &bytes, &length, err) < 0)
		return -1;
	if (file_sync(dir, SAVED_DIR, err) < 0 || file_sync(data_dir, SAVED_DIR, err) < 0)
		return -1;
	if (cancel && atomic_load(cancel))
		return err_set(err, ERR_CANCELLED, "cancelled");
	return file_write_atomic(dir, SAVED_MANIFEST, bytes, length, 0600, err);
}

int saved_state_write(int data_dir, const struct identity *identity,
		      const struct saved_memory *memory, struct saved_manifest *manifest,
		      const atomic_bool *cancel, struct err *err)
{
	auto_close int dir = -1;
	struct err ignored = ERR_INIT;

	if (open_saved_dir(data_dir, &dir, err) < 0)
		return -1;
	if (write_all(data_dir, dir, identity, memory, manifest, cancel, err) < 0) {
		(void)saved_remove(data_dir, &ignored);
		return -1;
	}
	return 0;
}

/* -- reading -- */

int saved_state_open(int data_dir, const struct identity *identity,
		     struct saved_manifest *ret_manifest, struct err *err)
{
	auto_close int dir = -1;
	auto_free char *bytes = NULL;
	size_t length = 0;

	if (file_open_dir(data_dir, SAVED_DIR, &dir, err) < 0 ||
	    file_read(dir, SAVED_MANIFEST, SAVED_MANIFEST_MAX, &bytes, &length, err) < 0)
		return -1;
	if (saved_manifest_open(bytes, length, identity->hex, ret_manifest, err) < 0)
		return err_wrap(err, SAVED_DIR "/" SAVED_MANIFEST);
	return 0;
}

/* Names the first line in which the two differ. */
static int say_difference(const char *saved, const char *now, struct err *err)
{
	size_t line = 0;

	for (size_t i = 0; saved[i] && saved[i] == now[i]; i++)
		if (saved[i] == '\n')
			line = i + 1;
	saved += line < strlen(saved) ? line : strlen(saved);
	now += line < strlen(now) ? line : strlen(now);
	return err_set(err, ERR_INVALID, "the settings are different: now \"%.*s\", then \"%.*s\"",
		       (int)(strcspn(now, "\n")), now, (int)(strcspn(saved, "\n")), saved);
}

int saved_state_fits(int data_dir, const struct saved_manifest *manifest, const char *machine,
		     const char *processor, struct err *err)
{
	struct saved_manifest now = {.machine = NULL};

	if (strcmp(manifest->machine, machine) != 0)
		return say_difference(manifest->machine, machine, err);
	if (manifest->processor[0] && !processor[0])
		return err_set(err, ERR_SYSTEM, "/proc/cpuinfo does not say which processor it is");
	if (strcmp(manifest->processor, processor) != 0)
		return err_set(err, ERR_INVALID, "this host's processor is another one");
	if (read_generation(data_dir, now.generation, err) < 0)
		return -1;
	if (memcmp(manifest->generation, now.generation, sizeof(now.generation)) != 0)
		return err_set(err, ERR_INVALID, "the VM has run since it was suspended");
	identify_files(data_dir, &now);
	if (!saved_file_same(&manifest->disk, &now.disk))
		return err_set(err, ERR_INVALID, DISK_NAME " was changed since");
	if (!saved_file_same(&manifest->kernel, &now.kernel) ||
	    !saved_file_same(&manifest->initrd, &now.initrd))
		return err_set(err, ERR_INVALID, "what is booted was changed since");
	return 0;
}

static int read_blob(int dir, const char *name, const struct saved_blob *blob, int to,
		     const atomic_bool *cancel, struct err *err)
{
	auto_close int fd = -1;

	if (blob->bytes == 0 || to < 0)
		return 0;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		(void)err_sys(err, SAVED_DIR "/%s", name);
		if (errno == ENOENT || errno == ELOOP)
			err->code = ERR_INVALID;
		return -1;
	}
	if (saved_ram_read(fd, to, blob->bytes, blob->sums, cancel, err) < 0)
		return err_wrap(err, SAVED_DIR "/%s", name);
	return 0;
}

/* Zeros at the end are not written: the length is set first. */
static int set_length(int fd, uint64_t bytes, struct err *err)
{
	return fd >= 0 ? file_set_size(fd, (off_t)bytes, err) : 0;
}

int saved_state_read(int data_dir, const struct saved_manifest *manifest,
		     const struct saved_memory *memory, const atomic_bool *cancel, struct err *err)
{
	auto_close int dir = -1;

	if (manifest->ram.bytes != memory->ram_bytes)
		return err_set(err, ERR_INVALID, "its memory has another size");
	if (file_open_dir(data_dir, SAVED_DIR, &dir, err) < 0 ||
	    set_length(memory->state, manifest->state.bytes, err) < 0 ||
	    set_length(memory->share, manifest->share.bytes, err) < 0 ||
	    read_blob(dir, SAVED_DEVICES, &manifest->state, memory->state, cancel, err) < 0 ||
	    read_blob(dir, SAVED_SHARE, &manifest->share, memory->share, cancel, err) < 0 ||
	    read_blob(dir, SAVED_RAM, &manifest->ram, memory->ram, cancel, err) < 0)
		return -1;
	return 0;
}

int saved_state_hold(int data_dir)
{
	auto_close int dir = -1;
	struct err none = ERR_INIT;

	if (file_open_dir(data_dir, SAVED_DIR, &dir, &none) < 0)
		return -1;
	return openat(dir, SAVED_RAM, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
}

int saved_state_void(int data_dir, struct err *err)
{
	struct err full = ERR_INIT;

	/* In this order: on a full disk the first may make room for the second. */
	if (saved_remove(data_dir, err) < 0)
		return -1;
	return renew_generation(data_dir, &full) < 0 ? drop_generation(data_dir, err) : 0;
}

/* -- the host -- */

int saved_sync(int dir, struct err *err)
{
#ifdef __linux__
	return syncfs(dir) < 0 ? err_sys(err, "sync") : 0;
#else
	(void)dir;
	(void)err;
	sync();
	return 0;
#endif
}

char *saved_processor(void)
{
	static const char *const keys[] = {"vendor_id", "model name", "microcode", "flags"};
	auto_close int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
	auto_free char *text = xcalloc(1, CPUINFO_MAX + 1);
	auto_buf struct buf said;
	char *rest = text;
	char *line;

	buf_init(&said, CPUINFO_MAX);
	if (fd < 0 || read(fd, text, CPUINFO_MAX) < 0)
		return xstrdup("");
	/* Of the first one: an empty line ends it. */
	while ((line = strsep(&rest, "\n")) && *line)
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			if (strncmp(line, keys[i], strlen(keys[i])) == 0)
				(void)buf_printf(&said, "%s\n", line);
	return buf_take_string(&said);
}
