#include "share/boundary.h"

#include "share/node.h"
#include "share/os.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* Some file systems do not tell case, ignore characters, or dots and spaces at the end. */
static bool sounds_like(const char *name, const char *reserved)
{
	size_t length = strlen(name);

	while (length > 0 && (name[length - 1] == '.' || name[length - 1] == ' '))
		length--;
	for (const char *end = name + length; name < end; name++) {
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

/* The name that FAT makes of it for programs that know eight letters only. */
static bool is_short_devbox(const char *name)
{
	return strncasecmp(name, "devbox~", 7) == 0 && name[7] &&
	       strspn(name + 7, "0123456789") == strlen(name + 7);
}

bool boundary_is_devbox(const char *name)
{
	return sounds_like(name, ".devbox") || is_short_devbox(name);
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
