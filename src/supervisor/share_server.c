/*
 * A poll(2) loop around share_port. One thread is enough: the machine's own serial loop is what
 * saturates first. Rights are dropped before the first byte of the guest is read.
 */
#include "supervisor/share_server.h"

#include "base/file.h"
#include "base/log.h"
#include "supervisor/share_port.h"
#include "supervisor/share_rights.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#define READ_SIZE ((size_t)256 << 10)

struct server {
	int port;
	int orphans;
	int hidden;
	uint32_t guest_uid, guest_gid;
	uint64_t nonce, previous;
	struct share_config shares[SHARE_PORT_SHARES_MAX];
	bool used[SHARE_PORT_SHARES_MAX];
	int first; /* number of the first share: whose owner we become */
};

static int parse_fd(const char *text, int *ret_fd, struct err *err)
{
	char *end;
	long fd = strtol(text, &end, 10);
	struct stat st;

	if (*text == '\0' || *end != '\0' || fd < 0 || fd > 65535 || fstat((int)fd, &st) < 0)
		return err_set(err, ERR_USAGE, "%s is not an open descriptor", text);
	*ret_fd = (int)fd;
	return 0;
}

static int parse_share(struct server *server, const char *text, struct err *err)
{
	unsigned number = 0;
	int fd = -1;
	int used = 0;
	struct share_config *share;
	struct stat st;

	if (sscanf(text, "%u:%d%n", &number, &fd, &used) != 2 || number >= SHARE_PORT_SHARES_MAX ||
	    server->used[number] || fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, ERR_USAGE, "share %s cannot be understood", text);
	share = &server->shares[number];
	*share = (struct share_config){.root = fd, .number = number};
	text += used;
	while (*text) {
		if (strncmp(text, ":ro", 3) == 0) {
			share->read_only = true;
			text += 3;
		} else if (strncmp(text, ":devbox", 7) == 0) {
			share->local_devbox = true;
			text += 7;
		} else {
			return err_set(err, ERR_USAGE, "share option %s is not known", text);
		}
	}
	server->used[number] = true;
	if (server->first < 0)
		server->first = (int)number;
	return 0;
}

static int parse(struct server *server, int argc, char **argv, struct err *err)
{
	enum { PORT = 1, SHARE, ORPHANS, HIDDEN, GUEST, NONCE, PREVIOUS };
	static const struct option options[] = {
	    {"port", required_argument, NULL, PORT},
	    {"share", required_argument, NULL, SHARE},
	    {"orphans", required_argument, NULL, ORPHANS},
	    {"hidden", required_argument, NULL, HIDDEN},
	    {"guest", required_argument, NULL, GUEST},
	    {"nonce", required_argument, NULL, NONCE},
	    {"previous", required_argument, NULL, PREVIOUS},
	    {0},
	};
	int option;
	int r = 0;

	*server = (struct server){.port = -1, .orphans = -1, .hidden = -1, .first = -1};
	optind = 1;
	while (r == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == PORT)
			r = parse_fd(optarg, &server->port, err);
		else if (option == SHARE)
			r = parse_share(server, optarg, err);
		else if (option == ORPHANS)
			r = parse_fd(optarg, &server->orphans, err);
		else if (option == HIDDEN)
			r = parse_fd(optarg, &server->hidden, err);
		else if (option == GUEST && sscanf(optarg, "%" SCNu32 ":%" SCNu32,
						   &server->guest_uid, &server->guest_gid) == 2)
			r = 0;
		else if (option == NONCE && sscanf(optarg, "%" SCNx64, &server->nonce) == 1)
			r = 0;
		else if (option == PREVIOUS && sscanf(optarg, "%" SCNx64, &server->previous) == 1)
			r = 0;
		else
			r = err_set(err, ERR_USAGE, "serve-share: the options are wrong");
	}
	if (r == 0 && (server->port < 0 || server->first < 0 || optind != argc))
		r = err_set(err, ERR_USAGE, "serve-share: --port and --share are needed");
	return r;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Reads what is there. 1: the port is closed. */
static int read_port(struct share_port *port, int fd, struct err *err)
{
	static uint8_t bytes[READ_SIZE];
	size_t wants = share_port_wants(port);
	ssize_t n = read(fd, bytes, wants < sizeof(bytes) ? wants : sizeof(bytes));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : err_sys(err, "read the share port");
	if (n == 0)
		return 1;
	return share_port_feed(port, bytes, (size_t)n, err);
}

static int write_port(struct share_port *port, int fd, struct err *err)
{
	while (buf_length(&port->out) > 0) {
		ssize_t n = write(fd, buf_data(&port->out), buf_length(&port->out));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : err_sys(err, "write the share port");
		buf_consume(&port->out, (size_t)n);
	}
	return share_port_continue(port, err);
}

static int tick(struct share_port *port)
{
	uint64_t now = now_ms();
	int next = -1;

	for (size_t i = 0; i < SHARE_PORT_SHARES_MAX; i++) {
		int wait = port->shares[i] ? share_tick(port->shares[i], now) : -1;

		if (wait >= 0 && (next < 0 || wait < next))
			next = wait;
	}
	return next;
}

static int serve(struct share_port *port, int fd, struct err *err)
{
	int r = 0;

	while (r == 0) {
		struct pollfd poll_fd = {.fd = fd};

		if (buf_length(&port->out) > 0)
			poll_fd.events |= POLLOUT;
		if (share_port_wants(port) > 0)
			poll_fd.events |= POLLIN;
		if (poll(&poll_fd, 1, tick(port)) < 0 && errno != EINTR)
			return err_sys(err, "poll");
		if (poll_fd.revents & (POLLIN | POLLHUP | POLLERR))
			r = read_port(port, fd, err);
		if (r == 0 && buf_length(&port->out) > 0)
			r = write_port(port, fd, err);
	}
	return r < 0 ? -1 : 0;
}

static int open_shares(const struct server *server, struct share_port *port, struct err *err)
{
	for (size_t i = 0; i < SHARE_PORT_SHARES_MAX; i++) {
		struct share_config config = server->shares[i];
		auto_free char *name = NULL;

		if (!server->used[i])
			continue;
		if (share_rights_name_of(config.root, &name, err) < 0)
			return -1;
		config.root_name = name;
		config.orphans = server->orphans;
		config.hidden = server->hidden;
		config.host_uid = geteuid();
		config.host_gid = getegid();
		config.guest_uid = server->guest_uid;
		config.guest_gid = server->guest_gid;
		port->shares[i] = share_new(&config, err);
		if (!port->shares[i])
			return err_wrap(err, "share %zu", i);
	}
	return 0;
}

static int run(struct server *server, struct err *err)
{
	struct share_port port;
	int r;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)umask(0);
	if (server->nonce == 0 &&
	    getrandom(&server->nonce, sizeof(server->nonce), 0) != sizeof(server->nonce))
		return err_sys(err, "random numbers");
	if (share_rights_drop(server->shares[server->first].root, server->orphans, err) < 0 ||
	    file_set_nonblock(server->port, true, err) < 0)
		return -1;
	share_port_init(&port, server->nonce, server->previous);
	r = open_shares(server, &port, err);
	if (r == 0)
		r = serve(&port, server->port, err);
	for (size_t i = 0; i < SHARE_PORT_SHARES_MAX; i++)
		share_free(port.shares[i]);
	share_port_done(&port);
	return r;
}

int share_server_main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct server server;

	if (parse(&server, argc, argv, &err) == 0 && run(&server, &err) == 0)
		return 0;
	(void)fprintf(stderr, "dxvm: share: %s\n", err.text);
	return err.code == ERR_USAGE ? 2 : 1;
}
