#include "base/newc.h"

#include <string.h>
#include <sys/stat.h>

#define ALIGNMENT 4u
#define TRAILER	  "TRAILER!!!"

struct entry {
	const char *name;
	uint32_t mode;
	uint32_t links;
	const void *data;
	size_t length;
	uint32_t major;
	uint32_t minor;
};

void newc_init(struct newc *newc, struct buf *out)
{
	*newc = (struct newc){.out = out};
}

/* Header plus name, and the data, are each padded to 4 bytes counted from the archive's start,
 * which is aligned itself. */
static int pad(struct buf *out)
{
	static const char zeros[ALIGNMENT];

	return buf_append(out, zeros, (ALIGNMENT - buf_length(out) % ALIGNMENT) % ALIGNMENT);
}

static int append(struct newc *newc, const struct entry *entry, struct err *err)
{
	struct buf *out = newc->out;
	size_t name_size = strlen(entry->name) + 1;

	if (entry->length > UINT32_MAX || pad(out) < 0 ||
	    /* magic ino mode uid gid nlink mtime filesize dev(2) rdev(2) namesize check */
	    buf_printf(out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		       ++newc->inode, entry->mode, 0u, 0u, entry->links, 0u,
		       (uint32_t)entry->length, 0u, 0u, entry->major, entry->minor,
		       (uint32_t)name_size, 0u) < 0 ||
	    buf_append(out, entry->name, name_size) < 0 || pad(out) < 0 ||
	    (entry->length > 0 && buf_append(out, entry->data, entry->length) < 0) || pad(out) < 0)
		return err_set(err, ERR_INVALID, "initrd: %s: larger than the %zu bytes allowed",
			       entry->name, out->max);
	return 0;
}

int newc_directory(struct newc *newc, const char *name, mode_t permissions, struct err *err)
{
	struct entry entry = {.name = name, .mode = S_IFDIR | permissions, .links = 2};

	return append(newc, &entry, err);
}

int newc_file(struct newc *newc, const char *name, mode_t permissions, const void *data,
	      size_t length, struct err *err)
{
	struct entry entry = {
	    .name = name,
	    .mode = S_IFREG | permissions,
	    .links = 1,
	    .data = data,
	    .length = length,
	};

	return append(newc, &entry, err);
}

int newc_symlink(struct newc *newc, const char *name, const char *target, struct err *err)
{
	struct entry entry = {
	    .name = name,
	    .mode = S_IFLNK | 0777,
	    .links = 1,
	    .data = target,
	    .length = strlen(target),
	};

	return append(newc, &entry, err);
}

int newc_char_device(struct newc *newc, const char *name, mode_t permissions, uint32_t major,
		     uint32_t minor, struct err *err)
{
	struct entry entry = {
	    .name = name,
	    .mode = S_IFCHR | permissions,
	    .links = 1,
	    .major = major,
	    .minor = minor,
	};

	return append(newc, &entry, err);
}

int newc_end(struct newc *newc, struct err *err)
{
	struct entry entry = {.name = TRAILER, .links = 1};

	newc->inode = UINT32_MAX; /* wraps to 0, which is what the trailer has */
	return append(newc, &entry, err);
}
