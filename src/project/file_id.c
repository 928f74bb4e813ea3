#include "project/file_id.h"

#include <fcntl.h>
#include <sys/stat.h>

#define NS_PER_S 1000000000u

#ifdef __linux__

#include <sys/sysmacros.h>

int file_id_get(int fd, const char *name, struct file_id *ret_id)
{
	struct statx sx;

	if (statx(fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH,
		  STATX_INO | STATX_BTIME, &sx) < 0)
		return -1;
	*ret_id = (struct file_id){.inode = sx.stx_ino};
	if (sx.stx_mask & STATX_BTIME)
		ret_id->born_ns = (uint64_t)sx.stx_btime.tv_sec * NS_PER_S + sx.stx_btime.tv_nsec;
	if (ret_id->born_ns == 0)
		ret_id->device = makedev(sx.stx_dev_major, sx.stx_dev_minor);
	return 0;
}

#else

int file_id_get(int fd, const char *name, struct file_id *ret_id)
{
	struct stat st;

	if ((*name ? fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) : fstat(fd, &st)) < 0)
		return -1;
	*ret_id = (struct file_id){
	    .inode = st.st_ino,
	    .born_ns = (uint64_t)st.st_birthtimespec.tv_sec * NS_PER_S +
		       (uint64_t)st.st_birthtimespec.tv_nsec,
	};
	if (ret_id->born_ns == 0)
		ret_id->device = (uint64_t)st.st_dev;
	return 0;
}

#endif

bool file_id_equal(const struct file_id *a, const struct file_id *b)
{
	return a->device == b->device && a->inode == b->inode && a->born_ns == b->born_ns;
}
