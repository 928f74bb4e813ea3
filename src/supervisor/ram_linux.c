#include "supervisor/ram.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

int ram_create(uint64_t bytes, int *ret_fd, struct err *err)
{
	auto_close int fd = memfd_create("dxvm-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return err_sys(err, "make the guest's memory of %llu MiB",
			       (unsigned long long)(bytes >> 20));
	*ret_fd = take_fd(&fd);
	return 0;
}

uint64_t ram_resident(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}
