#pragma once
/* A data directory with a suspended VM in it, and what a test does to it. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "supervisor/saved_state.h"
#include "unit/temp_dir.h"
#include "unit/test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MACHINE	  "qemu\n-m\n512M\n-smp\n2\n"
#define RAM_BYTES ((uint64_t)8 << 20)

static const struct identity identity = {.hex = "00112233445566778899aabbccddeeff"};

static inline int memory(uint64_t bytes)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
		abort();
	return fd;
}

static inline void put(int fd, off_t at, const void *bytes, size_t length)
{
	if (pwrite(fd, bytes, length, at) != (ssize_t)length)
		abort();
}

static inline bool same(int a, int b, uint64_t bytes)
{
	auto_free char *x = xmalloc(bytes);
	auto_free char *y = xmalloc(bytes);

	return pread(a, x, bytes, 0) == (ssize_t)bytes && pread(b, y, bytes, 0) == (ssize_t)bytes &&
	       memcmp(x, y, bytes) == 0;
}

static inline void flip(const struct temp_dir *dir, const char *name, off_t at)
{
	auto_close int fd = openat(dir->fd, name, O_RDWR | O_CLOEXEC);
	uint8_t byte = 0;

	if (fd < 0 || pread(fd, &byte, 1, at) != 1)
		abort();
	byte ^= 0x40;
	put(fd, at, &byte, 1);
}

struct rig {
	struct temp_dir dir;
	struct saved_memory memory;
};

static inline void rig_init(struct rig *rig)
{
	struct err err = ERR_INIT;

	*rig = (struct rig){.dir = temp_dir_make()};
	if (setenv("XDG_STATE_HOME", rig->dir.path, 1) < 0)
		abort();
	rig->memory = (struct saved_memory){
	    .ram = memory(RAM_BYTES), .state = memory(0), .share = -1, .ram_bytes = RAM_BYTES};
	put(rig->memory.ram, 1 << 20, "ram", 3);
	put(rig->memory.state, 0, "devices", 7);
	temp_dir_put_text(&rig->dir, "disk.img", "disk");
	CHECK_INT(saved_state_void(rig->dir.fd, &err), 0);
}

static inline void rig_done(struct rig *rig)
{
	cleanup_close(&rig->memory.ram);
	cleanup_close(&rig->memory.state);
	temp_dir_done(&rig->dir);
}
#define auto_rig CLEANUP(rig_done)

static inline int save(struct rig *rig, struct err *err)
{
	auto_manifest struct saved_manifest manifest = {
	    .accel = VM_ACCEL_KVM,
	    .machine = xstrdup("qemu\n-m\n512M\n-smp\n2\n"),
	    .processor = xstrdup("fast"),
	    .boot_nonce = "nonce",
	};

	return saved_state_write(rig->dir.fd, &identity, &rig->memory, &manifest, NULL, err);
}

/* Opens and compares; why not, or "". The caller's. */
static inline char *use(struct rig *rig, const struct identity *whose, const char *machine,
			const char *processor)
{
	auto_manifest struct saved_manifest manifest = {.machine = NULL};
	struct err err = ERR_INIT;

	if (saved_state_open(rig->dir.fd, whose, &manifest, &err) < 0 ||
	    saved_state_fits(rig->dir.fd, &manifest, machine, processor, &err) < 0)
		return xstrdup(err.text);
	return xstrdup("");
}

#define CHECK_USE(rig, whose, machine, processor, why)                                             \
	do {                                                                                       \
		auto_free char *said_ = use(rig, whose, machine, processor);                       \
		CHECK_STR(said_, why);                                                             \
	} while (0)
