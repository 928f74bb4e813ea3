/*
 * Disks that fail, for programs under test: linked instead of base/fault.c. All processes of one
 * test share a file that DXVM_TEST_FAULTS names: each operation adds a line to it, so that its
 * length is how far they got. DXVM_TEST_FAULT is "fail N" or "abort N": the N-th operation fails as
 * on a full or a broken disk, or its process is killed before it. "always OPERATION NAME" is a file
 * with which that never works; with "hold OPERATION NAME" it waits until there is a file of the name
 * in DXVM_TEST_FAULTS and ".go", and makes one with ".held" before. Without all, all goes well.
 */
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static const struct {
	const char *operation;
	int error;
} errors[] = {
    {"create", ENOSPC}, {"write", ENOSPC}, {"size", ENOSPC},  {"sync", EIO},
    {"rename", EIO},	{"remove", EIO},   {"mkdir", ENOSPC},
};

static int error_of(const char *operation)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(errors[i].operation, operation) == 0)
			return errors[i].error;
	abort();
}

/* Adds this one; its number among all, from 1. */
static long count(const char *path, const char *operation, const char *name)
{
	char text[4096];
	long lines = 1;
	ssize_t n;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		abort();
	while ((n = read(fd, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++)
			lines += text[i] == '\n';
	(void)snprintf(text, sizeof(text), "%s %s", operation, name);
	text[strcspn(text, "\n")] = '\0'; /* names of people may hold anything */
	(void)dprintf(fd, "%s\n", text);
	(void)close(fd);
	return lines;
}

static bool is_told(const char *fault, const char *what, const char *operation, const char *name)
{
	char text[4096];

	(void)snprintf(text, sizeof(text), "%s %s %s", what, operation, name);
	return fault && strcmp(fault, text) == 0;
}

static void hold(const char *path)
{
	char name[4096];

	(void)snprintf(name, sizeof(name), "%s.held", path);
	(void)close(open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	(void)snprintf(name, sizeof(name), "%s.go", path);
	while (access(name, F_OK) < 0)
		(void)usleep(10000);
}

int fault_point(const char *operation, const char *name)
{
	const char *path = getenv("DXVM_TEST_FAULTS");
	const char *fault = getenv("DXVM_TEST_FAULT");
	int error = error_of(operation);
	long wanted = fault ? strtol(fault + strcspn(fault, " "), NULL, 10) : 0;

	if (path && is_told(fault, "hold", operation, name))
		hold(path);
	if (!path ||
	    (count(path, operation, name) != wanted && !is_told(fault, "always", operation, name)))
		return 0;
	if (strncmp(fault, "abort", 5) == 0)
		(void)kill(getpid(), SIGKILL);
	errno = error;
	return -1;
}
