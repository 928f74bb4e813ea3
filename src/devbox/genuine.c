/*
 * Theory of operation. devbox evaluates Nix, for which it wants the network whenever it meets a
 * state of devbox.json and devbox.lock, or a version of itself, for the first time; afterwards it
 * reads what it kept. So `devbox install` goes first, once for each such state, while somebody can
 * still step in. When it fails, dxvm's own reading of the files takes over, and the same state is
 * not tried again for some minutes: without a network it would cost each shell seconds.
 *
 * The stamp, .devbox/gen/dxvm-devbox, has a line for what was tried: which files, which devbox; and
 * behind it nothing, or why it failed.
 */
#include "devbox/genuine.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/fingerprint.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/path.h"
#include "base/spawn.h"
#include "devbox/project.h"
#include "devbox/say.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define FOLDER	    ".devbox/gen"
#define STAMP	    "dxvm-devbox"
#define LOCK	    "dxvm-lock" /* as of who makes the environment without devbox */
#define STAMP_MAX   ((size_t)8192)
#define REASON_MAX  400
#define OUTPUT_KEPT ((size_t)4096)
#define TRY_AGAIN_S 600
#define ERROR	    "Error: "
#define NIX_FAILED  "nix: command error: "

extern char **environ;

struct genuine {
	const char *program;
	const char *root;
	char *state; /* of the files and of devbox, as the stamp has it */
};

/* -- the stamp -- */

static char *state_now(const char *program, const char *root)
{
	struct stat st = {.st_size = 0};

	(void)stat(program, &st);
	return xasprintf("%016" PRIx64 " %s %lld %lld\n", fingerprint_project(root), program,
			 (long long)st.st_size, (long long)st.st_mtime);
}

static int open_folder(const char *root, struct err *err)
{
	auto_free char *path = path_join(root, FOLDER);
	int dir;

	if (file_mkdirs(path, 0755, err) < 0)
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? err_sys(err, "%s", path) : dir;
}

/* What is in the stamp behind the present state, the caller's; NULL: nothing was tried yet. */
static char *read_stamp(const struct genuine *genuine, int dir)
{
	auto_free char *text = NULL;
	struct err ignored = ERR_INIT;
	const size_t length = strlen(genuine->state);
	struct stat st;

	if (file_read(dir, STAMP, STAMP_MAX, &text, NULL, &ignored) < 0 ||
	    strncmp(text, genuine->state, length) != 0)
		return NULL;
	if (text[length] != '\0' &&
	    (fstatat(dir, STAMP, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_mtime > time(NULL) ||
	     time(NULL) - st.st_mtime > TRY_AGAIN_S))
		return NULL;
	return xstrdup(text + length);
}

static void write_stamp(const struct genuine *genuine, int dir, const char *reason)
{
	auto_free char *text = xasprintf("%s%s", genuine->state, reason);
	struct err err = ERR_INIT;

	if (file_write_atomic(dir, STAMP, text, strlen(text), 0644, &err) < 0)
		say("%s", err.text);
}

/* -- devbox install -- */

/* The last bytes that came. */
struct tail {
	char bytes[OUTPUT_KEPT + 1];
	size_t length;
};

static void keep_tail(struct tail *tail, const char *bytes, size_t length)
{
	size_t drop = tail->length + length > OUTPUT_KEPT ? tail->length + length - OUTPUT_KEPT : 0;

	memmove(tail->bytes, tail->bytes + drop, tail->length - drop);
	tail->length -= drop;
	memcpy(tail->bytes + tail->length, bytes, length);
	tail->length += length;
	tail->bytes[tail->length] = '\0';
}

/* Shows what devbox says as it comes. */
static void follow(int fd, struct tail *tail)
{
	char bytes[OUTPUT_KEPT / 2];
	struct err ignored = ERR_INIT;
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		(void)file_write_all(STDERR_FILENO, bytes, (size_t)n, &ignored);
		keep_tail(tail, bytes, (size_t)n);
	}
}

/* What nix said, without the command line that devbox puts in front of it and the status behind. */
static char *shorten(const char *text, size_t length)
{
	auto_free char *line = xstrndup(text, length);
	char *message =
	    number_skip(&text, NIX_FAILED) ? strstr(line + strlen(NIX_FAILED), ": ") : NULL;
	char *end;

	message = message ? message + strlen(": ") : line;
	end = strstr(message, ": exit code ");
	if (end && end != message)
		*end = '\0';
	return xstrndup(message, REASON_MAX);
}

/* Its first error, or its last line. The caller's. */
static char *reason_of(struct tail *tail)
{
	const char *found = strstr(tail->bytes, ERROR);

	if (found)
		found += strlen(ERROR);
	while (!found && tail->length > 0 && strchr("\r\n ", tail->bytes[tail->length - 1]))
		tail->bytes[--tail->length] = '\0';
	if (!found)
		found = strrchr(tail->bytes, '\n') ? strrchr(tail->bytes, '\n') + 1 : tail->bytes;
	size_t length = strcspn(found, "\r\n");
	return length > 0 ? shorten(found, length) : xstrdup("it does not say why");
}

/* NULL: it succeeded. Else why not, the caller's. */
static char *install(const struct genuine *genuine)
{
	char *const words[] = {(char[]){"devbox"}, (char[]){"install"}, (char[]){"--config"},
			       (char *)(uintptr_t)genuine->root, NULL};
	struct tail tail = {.length = 0};
	struct err err = ERR_INIT;
	int status = 0;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return xstrdup(strerror(errno));
	auto_close int ours = ends[0];
	auto_close int theirs = ends[1];
	const struct spawn_fd fds[] = {{theirs, STDOUT_FILENO}, {theirs, STDERR_FILENO}};
	const struct spawn spawn = {
	    .program = genuine->program, .arguments = words, .fds = fds, .fd_count = 2};
	pid_t pid = spawn_start(&spawn, &err);
	if (pid < 0)
		return xstrdup(err.text);
	close_fd(&theirs);
	follow(ours, &tail);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? NULL : reason_of(&tail);
}

/* Tries it, unless somebody else just has: "", or why it failed. The caller's. */
static char *try(struct genuine *genuine, int dir, struct err *err)
{
	auto_close int lock = -1;
	char *reason;

	if (file_lock(dir, LOCK, true, &lock, err) < 0)
		return xstrdup(err->text);
	reason = read_stamp(genuine, dir);
	if (reason)
		return reason;
	reason = install(genuine);
	if (!reason)
		reason = xstrdup("");
	/* It may have written devbox.lock. */
	free(genuine->state);
	genuine->state = state_now(genuine->program, genuine->root);
	write_stamp(genuine, dir, reason);
	return reason;
}

/* Whether devbox has made the environment of the present files, now or before. That it has not is
 * said when it is news, and at each shell. */
static bool has_made(struct genuine *genuine, bool shell)
{
	struct err err = ERR_INIT;
	auto_close int dir = open_folder(genuine->root, &err);
	auto_free char *reason = dir < 0 ? xstrdup(err.text) : read_stamp(genuine, dir);
	const bool news = !reason;

	if (news)
		reason = try(genuine, dir, &err);
	if (!*reason)
		return true;
	if (news || shell)
		say("devbox cannot make this environment (%s); going on without it", reason);
	return false;
}

static void become(const char *program, char *const *devbox_words)
{
	size_t count = 0;

	while (devbox_words[count])
		count++;
	char **words = xcalloc(count + 2, sizeof(*words));
	words[0] = (char[]){"devbox"};
	memcpy(words + 1, devbox_words, count * sizeof(*words));
	(void)execve(program, words, environ);
	free(words);
}

/* A list of scripts or of services needs no packages. */
static bool needs_environment(const struct options *options)
{
	return options->verb == VERB_SHELL ||
	       (options->verb == VERB_RUN && !options->list && options->words[0]);
}

void genuine_become(const struct options *options, const char *root)
{
	auto_free char *program = project_find_program("devbox");
	auto_free char *nix = project_find_program("nix");
	struct genuine genuine = {.program = program, .root = root};
	bool ready;

	if (!program)
		return;
	if (!nix) {
		/* devbox would set out to install it. */
		say("devbox needs nix, which this guest does not have; going on without it");
		return;
	}
	/* Without it devbox would fetch a shell. */
	(void)setenv("SHELL", access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh", 0);
	genuine.state = state_now(program, root);
	ready = !needs_environment(options) || has_made(&genuine, options->verb == VERB_SHELL);
	free(genuine.state);
	if (!ready)
		return;
	fingerprint_leave(fingerprint_project(root));
	become(program, options->devbox_words);
	say("%s cannot be run; going on without it", program);
}
