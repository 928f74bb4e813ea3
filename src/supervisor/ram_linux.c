#include "supervisor/ram.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#define MIB ((uint64_t)1 << 20)

static int check_host_has(uint64_t bytes, struct err *err)
{
	struct sysinfo host;
	uint64_t total;

	if (sysinfo(&host) < 0)
		return 0;
	total = ((uint64_t)host.totalram + host.totalswap) * host.mem_unit;
	if (bytes <= total)
		return 0;
	return err_set(err, ERR_INVALID,
		       "mem: %lluM is more than this host has, which is %lluM with its swap; "
		       "`dxvm config mem=SIZE` sets another",
		       (unsigned long long)(bytes / MIB), (unsigned long long)(total / MIB));
}

int ram_create(uint64_t bytes, int *ret_fd, struct err *err)
{
	auto_close int fd = -1;

	if (check_host_has(bytes, err) < 0)
		return -1;
	fd = memfd_create("dxvm-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return err_sys(err, "make the guest's memory of %llu MiB",
			       (unsigned long long)(bytes / MIB));
	*ret_fd = take_fd(&fd);
	return 0;
}

uint64_t ram_resident(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}
