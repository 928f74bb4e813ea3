#include "agent/share_readahead.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Fields of /proc/self/mountinfo: id, parent, MAJOR:MINOR, root, MOUNT POINT, ... The kernel writes
 * spaces and the like in a path as three octal digits. */
static bool same_path(const char *escaped, const char *path)
{
	for (; *escaped; path++) {
		unsigned code = (unsigned char)*escaped;
		size_t length = 1;

		if (code == '\\' && strspn(escaped + 1, "01234567") >= 3) {
			code = 0;
			for (; length < 4; length++)
				code = code * 8 + (unsigned)(escaped[length] - '0');
		}
		if (code != (unsigned char)*path)
			return false;
		escaped += length;
	}
	return *path == '\0';
}

static int find_device(const char *path, char *ret_device, size_t size, struct err *err)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t room = 0;
	bool found = false;

	if (!mounts)
		return err_sys(err, "read the mounts");
	/* The last one at a path is the one on top. */
	while (getline(&line, &room, mounts) > 0) {
		char *save = NULL;
		const char *fields[5] = {NULL};
		char *rest = line;

		for (size_t i = 0; i < ARRAY_SIZE(fields); i++, rest = NULL)
			fields[i] = strtok_r(rest, " ", &save);
		if (!fields[4] || !same_path(fields[4], path))
			continue;
		(void)snprintf(ret_device, size, "%s", fields[2]);
		found = true;
	}
	free(line);
	(void)fclose(mounts);
	return found ? 0 : err_set(err, ERR_NOT_FOUND, "%s is not mounted", path);
}

int share_readahead_set(const char *path, unsigned kilobytes, struct err *err)
{
	char device[32];
	char file[96];
	char value[16];
	auto_close int fd = -1;

	if (find_device(path, device, sizeof(device), err) < 0)
		return -1;
	(void)snprintf(file, sizeof(file), "/sys/class/bdi/%s/read_ahead_kb", device);
	(void)snprintf(value, sizeof(value), "%u", kilobytes);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, "open %s", file);
	return file_write_all(fd, value, strlen(value), err);
}
