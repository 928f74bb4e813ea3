/*
 * A poll(2) loop around share_port. One thread is enough: the machine's own serial loop is what
 * saturates first. Rights are dropped before the first byte of the guest is read.
 */
#include "supervisor/share_server.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/number.h"
#include "supervisor/share_limits.h"
#include "supervisor/share_port.h"
#include "supervisor/share_rights.h"
#include "supervisor/share_state.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#define READ_SIZE      ((size_t)256 << 10)
#define TELL_LIMIT_MS  1000 /* before a suspend; then the next server does it */
#define FIRST_ID_BITS  40
#define FIRST_ID_APART 20

struct server {
	int port;
	int orphans;
	int hidden;
	uint32_t guest_uid, guest_gid;
	int state_fd;
	int control;
	struct share_config shares[SHARE_PORT_SHARES_MAX];
	bool used[SHARE_PORT_SHARES_MAX];
	size_t count; /* of those used */
	int boot;     /* number of the share that lies in the data directory, or -1 */
	int first;    /* number of the first share: whose owner we become */
	uint64_t nonce;
	struct share *opened[SHARE_PORT_SHARES_MAX]; /* by number */
	struct share_port link;
	struct share_state state;
	bool heard;	   /* the agent has answered our hello, and that is noted */
	bool quiescing;	   /* the supervisor waits for it, */
	uint64_t asked_ms; /* since then */
	bool quiet;	   /* nothing of the guest is outstanding any more */
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
	const char *at = text;
	uint64_t number;
	uint64_t fd;
	struct share_config *share;
	struct stat st;

	if (!number_take(&at, 10, SHARE_PORT_SHARES_MAX - 1, &number) || !number_skip(&at, ":") ||
	    !number_take(&at, 10, INT_MAX, &fd) || server->used[number] ||
	    fstat((int)fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, ERR_USAGE, "share %s cannot be understood", text);
	share = &server->shares[number];
	*share = (struct share_config){.root = (int)fd, .number = (uint32_t)number};
	while (*at) {
		if (number_skip(&at, ":ro"))
			share->read_only = true;
		else if (number_skip(&at, ":devbox"))
			share->local_devbox = true;
		else if (number_skip(&at, ":boot"))
			server->boot = (int)number;
		else
			return err_set(err, ERR_USAGE, "share option %s is not known", at);
	}
	server->used[number] = true;
	server->count++;
	if (server->first < 0)
		server->first = (int)number;
	return 0;
}

static int parse_guest(struct server *server, const char *text, struct err *err)
{
	const char *at = text;
	uint64_t uid;
	uint64_t gid;

	if (!number_take(&at, 10, UINT32_MAX, &uid) || !number_skip(&at, ":") ||
	    !number_take(&at, 10, UINT32_MAX, &gid) || *at)
		return err_set(err, ERR_USAGE, "guest %s is no UID:GID", text);
	server->guest_uid = (uint32_t)uid;
	server->guest_gid = (uint32_t)gid;
	return 0;
}

static int parse(struct server *server, int argc, char **argv, struct err *err)
{
	enum { PORT = 1, SHARE, ORPHANS, HIDDEN, GUEST, STATE, CONTROL };
	static const struct option options[] = {
	    {"port", required_argument, NULL, PORT},
	    {"share", required_argument, NULL, SHARE},
	    {"orphans", required_argument, NULL, ORPHANS},
	    {"hidden", required_argument, NULL, HIDDEN},
	    {"guest", required_argument, NULL, GUEST},
	    {"state", required_argument, NULL, STATE},
	    {"control", required_argument, NULL, CONTROL},
	    {0},
	};
	int option;
	int r = 0;

	*server = (struct server){.port = -1,
				  .orphans = -1,
				  .hidden = -1,
				  .state_fd = -1,
				  .control = -1,
				  .boot = -1,
				  .first = -1};
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
		else if (option == GUEST)
			r = parse_guest(server, optarg, err);
		else if (option == STATE)
			r = parse_fd(optarg, &server->state_fd, err);
		else if (option == CONTROL)
			r = parse_fd(optarg, &server->control, err);
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
static int read_port(struct server *server, struct err *err)
{
	static uint8_t bytes[READ_SIZE];
	size_t wants = share_port_wants(&server->link);
	ssize_t n = read(server->port, bytes, wants < sizeof(bytes) ? wants : sizeof(bytes));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : err_sys(err, "read the share port");
	if (n == 0)
		return 1;
	return share_port_feed(&server->link, bytes, (size_t)n, err);
}

/* What was changed is noted before anybody is told. */
static int keep_state(struct server *server, struct err *err)
{
	if (share_state_untold(&server->state, share_port_has_news(&server->link), err) < 0)
		return -1;
	for (uint32_t i = 0; i < SHARE_PORT_SHARES_MAX; i++)
		if (server->opened[i] &&
		    share_state_keep(&server->state, server->opened[i], i, err) < 0)
			return -1;
	if (server->link.synced && !server->heard) {
		server->heard = true;
		if (share_state_heard(&server->state, server->nonce, err) < 0)
			return -1;
	}
	/* News on their way to the guest are in the journals only, not in a snapshot. */
	if (share_state_grown(&server->state) && !share_port_is_writing_news(&server->link))
		return share_state_compact(&server->state, server->opened, SHARE_PORT_SHARES_MAX,
					   err);
	return 0;
}

static int write_port(struct server *server, struct err *err)
{
	struct buf *out = &server->link.out;

	while (buf_length(out) > 0) {
		ssize_t n = write(server->port, buf_data(out), buf_length(out));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : err_sys(err, "write the share port");
		buf_consume(out, (size_t)n);
	}
	return share_port_continue(&server->link, err);
}

/* The machine is being saved: what changes now is for the next server to find. */
static bool is_at_rest(const struct server *server)
{
	return server->link.held && !server->quiescing;
}

/* Either may be -1: never. */
static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* How long there is for telling before a suspend. */
static int time_to_tell(const struct server *server, uint64_t now)
{
	uint64_t end = server->asked_ms + TELL_LIMIT_MS;

	return server->quiescing && now < end ? (int)(end - now) : -1;
}

static int tick(struct server *server)
{
	uint64_t now = now_ms();
	int next = -1;

	if (is_at_rest(server))
		return -1;

	for (size_t i = 0; i < SHARE_PORT_SHARES_MAX; i++) {
		struct share *share = server->opened[i];

		next = sooner(next, share ? share_tick(share, now) : -1);
	}
	/* Last: it takes what the others just found. */
	next = sooner(next, share_port_notify(&server->link, now));
	return sooner(next, time_to_tell(server, now));
}

static void answer_control(struct server *server, char what)
{
	if (write(server->control, &what, 1) != 1)
		log_warn("share", "the supervisor does not listen");
}

/* A byte from the supervisor; its end is also ours, which the port tells. */
static void read_control(struct server *server)
{
	char what;

	if (read(server->control, &what, 1) != 1) {
		server->control = -1;
	} else if (what == SHARE_CONTROL_QUIESCE) {
		server->quiescing = true;
		server->asked_ms = now_ms();
		server->quiet = false;
		share_port_quiesce(&server->link);
	} else if (what == SHARE_CONTROL_RESUME) {
		server->quiescing = false;
		share_port_resume(&server->link);
		answer_control(server, what);
	}
}

static int check_quiesced(struct server *server, struct err *err)
{
	bool late = now_ms() - server->asked_ms >= TELL_LIMIT_MS;

	server->quiet = server->quiet || server->link.quiesced;
	if (!server->quiescing || !(late ? server->quiet : server->link.quiesced))
		return 0;
	if (!late && share_port_is_telling(&server->link))
		return 0;
	/* It has read what it was told before it was asked, and says so of the rest when asked again. */
	if (!late && server->link.unheard) {
		share_port_quiesce(&server->link);
		return 0;
	}
	server->quiescing = false;
	/* What was not told is in the journals only. */
	if (!share_port_has_news(&server->link) &&
	    share_state_compact(&server->state, server->opened, SHARE_PORT_SHARES_MAX, err) < 0)
		return -1;
	answer_control(server, SHARE_CONTROL_QUIESCE);
	return 0;
}

enum { POLL_PORT, POLL_CONTROL, POLL_WATCH };

/* Nothing new while the guest comes to rest: it would have to be told before. Nor while it does not
 * read: the journals would grow by what they hold for it. */
static bool listens(const struct server *server, size_t number)
{
	return server->opened[number] && !server->link.held && share_port_wants(&server->link) > 0;
}

static void read_watches(struct server *server, const struct pollfd *fds)
{
	for (size_t i = 0; i < SHARE_PORT_SHARES_MAX; i++)
		if (fds[i].revents)
			share_watch_read(server->opened[i]);
}

static int serve(struct server *server, struct err *err)
{
	int r = 0;

	while (r == 0) {
		struct pollfd fds[POLL_WATCH + SHARE_PORT_SHARES_MAX] = {
		    [POLL_PORT] = {.fd = server->port},
		    [POLL_CONTROL] = {.fd = server->control, .events = POLLIN},
		};
		int wait = tick(server);

		for (size_t i = 0; i < SHARE_PORT_SHARES_MAX; i++)
			fds[POLL_WATCH + i] = (struct pollfd){
			    .fd = listens(server, i) ? share_watch_fd(server->opened[i]) : -1,
			    .events = POLLIN,
			};

		if (buf_length(&server->link.out) > 0)
			fds[POLL_PORT].events |= POLLOUT;
		if (share_port_wants(&server->link) > 0)
			fds[POLL_PORT].events |= POLLIN;
		if (poll(fds, ARRAY_SIZE(fds), wait) < 0 && errno != EINTR)
			return err_sys(err, "poll");
		/* Before requests: they may be about what changed. */
		read_watches(server, fds + POLL_WATCH);
		if (fds[POLL_PORT].revents & (POLLIN | POLLHUP | POLLERR))
			r = read_port(server, err);
		if (fds[POLL_CONTROL].revents)
			read_control(server);
		if (r == 0)
			r = keep_state(server, err);
		if (r == 0 && buf_length(&server->link.out) > 0)
			r = write_port(server, err);
		if (r == 0)
			r = keep_state(server, err);
		if (r == 0)
			r = check_quiesced(server, err);
	}
	return r < 0 ? -1 : 0;
}

/* Far from whatever ids another server has given away that left no memory, and below what a journal
 * may hold. */
static int random_first_id(uint64_t *ret_id, struct err *err)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return err_sys(err, "random numbers");
	*ret_id = (random >> (64 - FIRST_ID_BITS)) << FIRST_ID_APART;
	return 0;
}

static int open_share(struct server *server, uint32_t number, struct err *err)
{
	struct share_config config = server->shares[number];
	struct err why = ERR_INIT;
	auto_free char *name = NULL;
	struct share *share;

	if ((int)number == server->boot)
		name = xstrdup("boot"); /* of all in the data directory this is the guest's */
	else if (share_rights_name_of(config.root, &name, err) < 0)
		return -1;
	if (random_first_id(&config.first_id, err) < 0)
		return -1;
	share_limits_set(&config, server->count);
	config.root_name = name;
	config.orphans = server->orphans;
	config.hidden = server->hidden;
	config.watch = true;
	config.host_uid = geteuid();
	config.host_gid = getegid();
	config.guest_uid = server->guest_uid;
	config.guest_gid = server->guest_gid;
	share = share_new(&config, err);
	if (!share)
		return err_wrap(err, "share %u", number);
	server->opened[number] = share;
	/* Without its memory a share still serves all but what is open. */
	if (share_state_load(&server->state, share, number, &why) < 0)
		(void)fprintf(stderr, "dxvm: share %u: %s; open files are lost\n", number,
			      why.text);
	if (!server->state.untold)
		share_was_told(share);
	return 0;
}

static int protect_roots(struct server *server, struct err *err)
{
	for (size_t i = 0; i < SHARE_PORT_SHARES_MAX; i++)
		for (size_t j = 0; server->opened[i] && j < SHARE_PORT_SHARES_MAX; j++)
			if (j != i && server->opened[j] &&
			    share_protect_root(server->opened[i], server->opened[j], err) < 0)
				return -1;
	return 0;
}

static int start(struct server *server, struct err *err)
{
	struct err why = ERR_INIT;

	share_limits_raise();
	if (share_rights_drop(server->shares[server->first].root, server->orphans, err) < 0 ||
	    file_set_nonblock(server->port, true, err) < 0)
		return -1;
	if (share_state_open(&server->state, server->state_fd, &why) < 0) {
		(void)fprintf(stderr, "dxvm: share: %s; starting anew\n", why.text);
		if (ftruncate(server->state_fd, 0) < 0 ||
		    share_state_open(&server->state, server->state_fd, err) < 0)
			return -1;
	}
	if (getrandom(&server->nonce, sizeof(server->nonce), 0) != sizeof(server->nonce))
		return err_sys(err, "random numbers");
	server->nonce = share_port_nonce(server->nonce);
	for (uint32_t i = 0; i < SHARE_PORT_SHARES_MAX; i++)
		if (server->used[i] && open_share(server, i, err) < 0)
			return -1;
	if (protect_roots(server, err) < 0)
		return -1;
	share_sweep_orphans(server->orphans, server->used, SHARE_PORT_SHARES_MAX);
	share_port_init(&server->link, server->opened, server->nonce,
			(uint64_t[]){server->state.heard, server->state.unsure});
	return share_state_say(&server->state, server->nonce, err);
}

static int run(struct server *server, struct err *err)
{
	int r;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)umask(0);
	r = start(server, err);
	if (r == 0)
		r = serve(server, err);
	for (size_t i = 0; i < SHARE_PORT_SHARES_MAX; i++)
		share_free(server->opened[i]);
	share_port_done(&server->link);
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
