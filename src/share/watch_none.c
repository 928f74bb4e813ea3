/* A host without a way to watch directories that has been tried. */
#include "share/watch.h"

#include <errno.h>

int watch_open(void)
{
	return -1;
}

int watch_add(int watch, int dir)
{
	(void)watch;
	(void)dir;
	return -EOPNOTSUPP;
}

void watch_remove(int watch, int id)
{
	(void)watch;
	(void)id;
}

void watch_read(int watch, void (*event)(void *context, const struct watch_event *event),
		void *context)
{
	(void)watch;
	(void)event;
	(void)context;
}
