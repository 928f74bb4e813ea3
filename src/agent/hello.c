#include "agent/hello.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define NS_PER_S 1000000000u

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now = {.tv_sec = 0};

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void hello_make(struct mux_hello *ret_hello)
{
	struct mux_hello hello = {.uptime_ns = clock_ns(CLOCK_BOOTTIME)};
	uint64_t now = clock_ns(CLOCK_REALTIME);

	/* Early in a boot waiting for good random bytes can take seconds. The nonce only has to be
	 * another one at each boot: the time of day helps out. */
	if (getrandom(hello.boot_nonce, sizeof(hello.boot_nonce), GRND_NONBLOCK) !=
	    (ssize_t)sizeof(hello.boot_nonce))
		(void)!getrandom(hello.boot_nonce, sizeof(hello.boot_nonce), GRND_INSECURE);
	for (size_t i = 0; i < sizeof(now); i++)
		hello.boot_nonce[i] ^= (uint8_t)(now >> (8 * i));
	(void)snprintf(hello.program, sizeof(hello.program), "dxvm-agent %s", DXVM_VERSION);
	*ret_hello = hello;
}

void hello_renew(struct mux_hello *hello)
{
	hello->uptime_ns = clock_ns(CLOCK_BOOTTIME);
}
