#include "share/boundary.h"

#include "share/node.h"
#include "share/os.h"

#include <errno.h>
#include <string.h>

static bool sounds_like(const char *name, const char *reserved)
{
	for (; *name; name++) {
		char c = *name;

		if ((unsigned char)c >= 0x80)
			continue;
		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c != *reserved)
			return false;
		reserved++;
	}
	return *reserved == '\0';
}

bool boundary_is_devbox(const char *name)
{
	return sounds_like(name, ".devbox");
}

bool boundary_is_vm(const char *name)
{
	return sounds_like(name, "vm");
}

bool boundary_hides(const char *parent, const char *name)
{
	return boundary_is_vm(name) && boundary_is_devbox(parent);
}

static bool note_vm(void *context, const char *name, uint64_t ino, uint32_t type, uint64_t cookie)
{
	bool *found = context;

	(void)ino;
	(void)type;
	(void)cookie;
	*found = *found || boundary_is_vm(name);
	return !*found;
}

bool boundary_holds_vm(int dir, const char *name)
{
	auto_close int fd = os_open(dir, name, false);
	bool found = false;

	return fd < 0 || os_read_dir(fd, 0, note_vm, &found) < 0 || found;
}

int boundary_check_name(const char *name, size_t length)
{
	if (length == 0 || memchr(name, '/', length) || memchr(name, '\0', length))
		return -EINVAL;
	if (length > NODE_NAME_MAX)
		return -ENAMETOOLONG;
	if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')))
		return -EINVAL;
	return 0;
}
