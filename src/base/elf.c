#include "base/elf.h"

#include "base/cleanup.h"

#include <stdint.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define HEADER_SIZE	    64
#define SEGMENT_SIZE	    56
#define SEGMENTS_MAX	    64
#define TYPE_PROGRAM	    2 /* ET_EXEC */
#define TYPE_MOVABLE	    3 /* ET_DYN, of a program without an interpreter too */
#define SEGMENT_INTERPRETER 3

static const struct {
	const char *machine; /* uname(2) */
	const char *name;
	uint16_t number; /* e_machine */
} processors[] = {
    {"x86_64", "amd64", 62}, {"aarch64", "arm64", 183}, {"arm64", "arm64", 183}, /* macOS */
};

static uint16_t half(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t word(const uint8_t *at)
{
	return half(at) | (uint32_t)half(at + 2) << 16;
}

static bool is_for_us(uint16_t number)
{
	struct utsname us;

	if (uname(&us) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(processors); i++)
		if (strcmp(us.machine, processors[i].machine) == 0)
			return processors[i].number == number;
	return false;
}

bool elf_is_static(int fd)
{
	/* 64 bits, least significant byte first, version 1. */
	static const uint8_t magic[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
	uint8_t header[HEADER_SIZE];
	uint8_t segments[SEGMENTS_MAX * SEGMENT_SIZE];

	if (pread(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
	    memcmp(header, magic, sizeof(magic)) != 0)
		return false;
	const uint16_t type = half(header + 16);
	const uint64_t offset = word(header + 32) | (uint64_t)word(header + 36) << 32;
	const size_t count = half(header + 56);
	const size_t size = count * SEGMENT_SIZE;
	if ((type != TYPE_PROGRAM && type != TYPE_MOVABLE) || !is_for_us(half(header + 18)) ||
	    half(header + 54) != SEGMENT_SIZE || count == 0 || count > SEGMENTS_MAX ||
	    offset > INT32_MAX || pread(fd, segments, size, (off_t)offset) != (ssize_t)size)
		return false;
	for (size_t i = 0; i < count; i++)
		if (word(segments + i * SEGMENT_SIZE) == SEGMENT_INTERPRETER)
			return false;
	return true;
}

const char *elf_processor(void)
{
	static struct utsname us;

	if (uname(&us) < 0)
		return "unknown";
	for (size_t i = 0; i < ARRAY_SIZE(processors); i++)
		if (strcmp(us.machine, processors[i].machine) == 0)
			return processors[i].name;
	return us.machine;
}
