#include "agent/identity.h"

#include "agent/etc.h"
#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#define NS_PER_S	1000000000u
#define BITS_PER_BYTE	8
#define OUR_ADDRESS	"127.0.1.1" /* as Debian does it: the name resolves without a network */
#define LINE_MAX_EXTRA	512
#define MACHINE_ID_TEXT 34 /* 32 digits, newline, NUL */
#define ZONEINFO	"/usr/share/zoneinfo/"
#define LOCALTIME	"/etc/localtime"

int identity_seed(const struct message_configure *configure, struct err *err)
{
	const struct timespec now = {
	    .tv_sec = (time_t)(configure->time_ns / NS_PER_S),
	    .tv_nsec = (long)(configure->time_ns % NS_PER_S),
	};
	/* struct rand_pool_info with its array at its length */
	struct {
		int entropy_bits;
		int byte_count;
		uint8_t bytes[sizeof(configure->entropy)];
	} pool = {.entropy_bits = sizeof(pool.bytes) * BITS_PER_BYTE,
		  .byte_count = sizeof(pool.bytes)};
	auto_close int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);

	memcpy(pool.bytes, configure->entropy, sizeof(pool.bytes));
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		return err_sys(err, "add the host's random bytes");
	if (configure->time_ns != 0 && clock_settime(CLOCK_REALTIME, &now) < 0)
		return err_sys(err, "set the clock");
	return 0;
}

char *identity_hosts(const char *text, const char *name)
{
	struct buf out;
	size_t address = strlen(OUR_ADDRESS);

	buf_init(&out, strlen(text) + LINE_MAX_EXTRA);
	if (!*text)
		(void)buf_append_string(&out, "127.0.0.1\tlocalhost\n::1\tlocalhost\n");
	while (*text) {
		size_t length = strcspn(text, "\n");

		/* The line of an earlier name goes. */
		if (strncmp(text, OUR_ADDRESS, address) != 0 ||
		    !isspace((unsigned char)text[address])) {
			(void)buf_append(&out, text, length);
			(void)buf_append_string(&out, "\n");
		}
		text += length + (text[length] == '\n');
	}
	(void)buf_printf(&out, OUR_ADDRESS "\t%s\n", name);
	return buf_take_string(&out);
}

static bool host_name_will_do(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '-' && *c != '.')
			return false;
	return *name && *name != '-' && strlen(name) <= 64;
}

int identity_host_name(const char *name, struct err *err)
{
	auto_free char *old = NULL;
	auto_free char *hosts = NULL;
	auto_free char *line = xasprintf("%s\n", name);

	if (!host_name_will_do(name))
		return err_set(err, ERR_INVALID, "\"%s\" is no host name", name);
	if (sethostname(name, strlen(name)) < 0)
		return err_sys(err, "set the host name");
	if (etc_read("hosts", &old, err) < 0)
		return -1;
	hosts = identity_hosts(old, name);
	if (etc_write("hosts", hosts, 0644, err) < 0)
		return -1;
	return etc_write("hostname", line, 0644, err);
}

int identity_machine_id(const uint8_t *id, struct err *err)
{
	static const char digits[] = "0123456789abcdef";
	char text[MACHINE_ID_TEXT];

	for (size_t i = 0; i < 16; i++) {
		text[2 * i] = digits[id[i] >> 4];
		text[2 * i + 1] = digits[id[i] & 15];
	}
	text[32] = '\n';
	text[33] = '\0';
	return etc_write("machine-id", text, 0444, err);
}

static bool zone_will_do(const char *zone)
{
	for (const char *c = zone; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_+-/", *c))
			return false;
	return *zone != '/';
}

int identity_time_zone(const char *zone, struct err *err)
{
	auto_free char *path = NULL;
	auto_free char *line = NULL;
	char old[256] = "";

	if (!*zone)
		zone = "Etc/UTC";
	path = xasprintf(ZONEINFO "%s", zone);
	line = xasprintf("%s\n", zone);
	if (access(ZONEINFO, F_OK) < 0)
		return 0; /* a guest without zones: sessions bring their TZ */
	if (!zone_will_do(zone) || access(path, R_OK) < 0)
		return err_set(err, ERR_NOT_FOUND, "the guest does not know the time zone %s",
			       zone);
	if (readlink(LOCALTIME, old, sizeof(old) - 1) < 0 || strcmp(old, path) != 0) {
		if (unlink(LOCALTIME) < 0 && errno != ENOENT)
			return err_sys(err, "replace " LOCALTIME);
		if (symlink(path, LOCALTIME) < 0)
			return err_sys(err, "link " LOCALTIME);
	}
	return etc_write("timezone", line, 0644, err);
}
