#pragma once
/*
 * Scope-bound cleanup and explicit handing-on of ownership:
 *
 *	auto_free char *path = path_join(...);      freed when the scope ends
 *	auto_close int fd = open(...);              closed when the scope ends (if >= 0)
 *	*ret_fd = take_fd(&fd);                     now the caller's
 *	close_fd(&machine->fd);                     closed now (if >= 0), and marked so
 *	return take_ptr(&path);
 */
#include <stdlib.h>
#include <unistd.h>

#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define CLEANUP(f)	  __attribute__((cleanup(f)))
#define ARRAY_SIZE(a)	  (sizeof(a) / sizeof((a)[0]))

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

#define auto_free  CLEANUP(cleanup_free)
#define auto_close CLEANUP(cleanup_close)

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(take_fd(fd));
}

static inline void *take_ptr_(void *p)
{
	void *taken = *(void **)p;

	*(void **)p = NULL;
	return taken;
}

/* The `0 ? *(p) : ...` keeps the type without evaluating anything twice. */
#define take_ptr(p) (0 ? *(p) : take_ptr_(p))
