#pragma once
/* What a process costs this host: bytes of memory that it alone holds; the guest's memory, which is
 * a file in memory, is not in it. 0 where the system does not tell. */
#include <stdint.h>
#include <sys/types.h>

uint64_t cost_of_process(pid_t pid);
