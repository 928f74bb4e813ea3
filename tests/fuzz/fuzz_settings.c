/*
 * A settings file as a person, a guest or a cloned repository may leave it. The first byte says
 * which file, the rest is its content. Whatever it is: a value within the bounds, or an error that
 * names the file.
 */
#include "base/file.h"
#include "base/mem.h"
#include "project/settings.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"mem", "cpu", "disk", "net", "idle", "loglevel", "guest"};
static char path[] = "/tmp/dxvm-fuzz-XXXXXX";
static int dir = -1;

static void put(const char *name, const void *data, size_t length)
{
	struct err err = ERR_INIT;
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || file_write_all(fd, data, length, &err) < 0)
		abort();
	(void)close(fd);
}

static void remove_dir(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)unlinkat(dir, names[i], 0);
	(void)rmdir(path);
}

static void open_dir(void)
{
	if (!mkdtemp(path))
		abort();
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || atexit(remove_dir) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings settings;
	struct err err = ERR_INIT;

	if (size == 0)
		return 0;
	if (dir < 0)
		open_dir();
	const char *name = names[data[0] % ARRAY_SIZE(names)];
	put("guest", "debian\n", strlen("debian\n"));
	put(name, data + 1, size - 1);
	if (settings_load(dir, &settings, &err) < 0) {
		assert(err.code == ERR_INVALID);
		assert(strncmp(err.text, name, strlen(name)) == 0);
	} else {
		assert(settings.guest);
		assert(settings.cpu >= 1 && settings.cpu <= 255);
		assert(settings.mem >= (uint64_t)128 << 20 && settings.mem <= (uint64_t)1 << 40);
		assert(settings.disk >= (uint64_t)4 << 30 && settings.disk <= (uint64_t)1 << 44);
	}
	(void)unlinkat(dir, name, 0);
	return 0;
}
