#include "agent/net.h"

#include "agent/etc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define DEVICE	 "eth0"
#define ADDRESS	 "10.0.2.15"
#define NETMASK	 "255.255.255.0"
#define GATEWAY	 "10.0.2.2"
#define RESOLVER "nameserver 10.0.2.3\n"

static void set_address(struct sockaddr *ret_address, const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET};

	if (text)
		(void)inet_pton(AF_INET, text, &address.sin_addr);
	memcpy(ret_address, &address, sizeof(address));
}

static int bring_up(int fd, const char *device)
{
	struct ifreq request = {.ifr_flags = 0};

	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return -1;
	request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
	return ioctl(fd, SIOCSIFFLAGS, &request);
}

int net_loopback(struct err *err)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bring_up(fd, "lo") < 0)
		return err_sys(err, "bring up the loopback device");
	return 0;
}

int net_user_network(struct err *err)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = DEVICE};
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};

	if (fd < 0)
		return err_sys(err, "socket");
	set_address(&request.ifr_addr, ADDRESS);
	if (ioctl(fd, SIOCSIFADDR, &request) < 0)
		return err_sys(err, "address of " DEVICE);
	set_address(&request.ifr_netmask, NETMASK);
	if (ioctl(fd, SIOCSIFNETMASK, &request) < 0)
		return err_sys(err, "netmask of " DEVICE);
	if (bring_up(fd, DEVICE) < 0)
		return err_sys(err, "bring up " DEVICE);
	set_address(&route.rt_dst, NULL);
	set_address(&route.rt_genmask, NULL);
	set_address(&route.rt_gateway, GATEWAY);
	if (ioctl(fd, SIOCADDRT, &route) < 0 && errno != EEXIST)
		return err_sys(err, "route to " GATEWAY);
	return etc_write("resolv.conf", RESOLVER, 0644, err);
}
