/*
 * Theory of operation. This process becomes the shell, so that signals, job control and the exit
 * status are the shell's own. Nothing of the start-up file stays behind: that is the first thing in
 * it, and shells have read it, or hold it open, by then. bash reads it from memory, through a
 * descriptor that it closes: removing a file would cost it a process before the prompt. Others get a
 * directory of their own in $TMPDIR: they are told of it by the environment, which all that they
 * start inherits.
 *
 * zsh finds its files by ZDOTDIR, which is that directory for a moment. The user's .zshenv may set it,
 * too: what it is afterwards is where the user's .zshrc lies, and what the shell is left with.
 */
#include "devbox/shell.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "devbox/quote.h"
#include "devbox/scripts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define RC_MAX	 ((size_t)8 << 20)
#define BASH	 "/bin/bash"
#define POSIX_SH "/bin/sh"

enum shell_kind shell_kind(const char *program)
{
	static const struct {
		const char *name;
		enum shell_kind kind;
	} known[] = {
	    {"bash", SHELL_BASH},  {"zsh", SHELL_ZSH},	 {"fish", SHELL_FISH}, {"ksh", SHELL_POSIX},
	    {"dash", SHELL_POSIX}, {"ash", SHELL_POSIX}, {"sh", SHELL_POSIX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(path_base(program), known[i].name) == 0)
			return known[i].kind;
	return SHELL_OTHER;
}

typedef int quote_fn(struct buf *buf, const char *text);

static quote_fn *quote_of(enum shell_kind kind)
{
	return kind == SHELL_FISH ? quote_single_fish : quote_single;
}

/* The start-up file in the making, and how its shell quotes. */
struct rc {
	struct buf buf;
	bool full; /* something did not fit */
	quote_fn *quote;
};

static void put(struct rc *rc, const char *text)
{
	rc->full = buf_append_string(&rc->buf, text) < 0 || rc->full;
}

/* `text` quoted, between two that are not. */
static void put_quoted(struct rc *rc, const char *before, const char *text, const char *after)
{
	put(rc, before);
	rc->full = rc->quote(&rc->buf, text) < 0 || rc->full;
	put(rc, after);
}

static void put_own_rc(struct rc *rc, enum shell_kind kind, const char *own_rc)
{
	if (kind == SHELL_ZSH) {
		put(rc, "if [ -n \"$__dxvm_own\" ]; then\n"
			"  ZDOTDIR=\"$__dxvm_own\"\n"
			"else\n"
			"  unset ZDOTDIR\n"
			"fi\n"
			"unset __dxvm_own __dxvm_rc\n"
			"[ ! -f \"${ZDOTDIR-$HOME}/.zshrc\" ] || . \"${ZDOTDIR-$HOME}/.zshrc\"\n");
	} else if (kind != SHELL_FISH && own_rc) {
		put_quoted(rc, "if [ -f ", own_rc, " ]; then\n");
		put_quoted(rc, "  . ", own_rc, "\nfi\n");
	}
}

static void put_prompt(struct rc *rc, enum shell_kind kind)
{
	put(rc, kind == SHELL_FISH ? "if not set -q devbox_no_prompt\n"
				     "  functions -c fish_prompt __devbox_fish_prompt_orig\n"
				     "  function fish_prompt\n"
				     "    echo \"(devbox)\" (__devbox_fish_prompt_orig)\n"
				     "  end\n"
				     "end\n"
				   : "if [ -z \"$DEVBOX_NO_PROMPT\" ]; then\n"
				     "  export PS1=\"(devbox) $PS1\"\n"
				     "fi\n");
}

static void put_hook(struct rc *rc, const struct project *project, enum shell_kind kind)
{
	auto_free char *hook = scripts_path(project, SCRIPTS_HOOK);

	put(rc, kind == SHELL_FISH ? "set working_dir $PWD\n" : "working_dir=\"$PWD\"\n");
	put_quoted(rc, "cd ", project->root, " || exit\n");
	put_quoted(rc, ". ", hook, "\n");
	put(rc, "cd \"$working_dir\" || exit\n");
}

static void put_aliases(struct rc *rc, const struct project *project)
{
	const struct json *aliases = project->config.aliases;
	auto_vars struct vars sorted = {.count = 0};

	for (size_t i = 0; aliases && i < aliases->count; i++)
		vars_set(&sorted, aliases->items[i]->name, config_text(aliases->items[i]));
	for (size_t i = 0; i < sorted.count; i++) {
		put(rc, "alias ");
		put(rc, sorted.list[i].name);
		put_quoted(rc, "=", sorted.list[i].value, "\n");
	}
}

/* From any directory, and with any PATH. */
static char *refresh_words(const struct project *project, enum shell_kind kind)
{
	struct err ignored = ERR_INIT;
	auto_free char *self = path_self(&ignored);
	struct rc words = {.quote = quote_of(kind)};

	buf_init(&words.buf, RC_MAX);
	put_quoted(&words, "", self ? self : "dxvm-devbox", " shell --print-env");
	put_quoted(&words, kind == SHELL_FISH ? "=fish -c " : " -c ", project->root, "");
	auto_free char *text = words.full ? NULL : buf_take_string(&words.buf);
	buf_done(&words.buf);
	if (!text || kind == SHELL_FISH)
		return take_ptr(&text);
	return xasprintf("__dxvm_env=\"$(%s)\" && eval \"$__dxvm_env\" && hash -r", text);
}

static void put_refresh(struct rc *rc, const struct project *project, enum shell_kind kind)
{
	auto_free char *words = refresh_words(project, kind);

	if (!words) {
		rc->full = true;
	} else if (kind == SHELL_FISH) {
		put(rc, "if not functions -q refresh\n  function refresh\n    ");
		put(rc, words);
		put(rc, " | source\n  end\nend\n");
	} else {
		put(rc, "if ! type refresh >/dev/null 2>&1; then\n  export ");
		put(rc, project->refresh);
		put_quoted(rc, "=", words, "\n");
		put_quoted(rc, "  alias refresh=", words, "\nfi\n");
	}
}

char *shell_rc(const struct project *project, const struct vars *vars, enum shell_kind kind,
	       const char *own_rc, const char *first)
{
	struct rc rc = {.quote = quote_of(kind)};
	auto_free char *history = project_local(project, "shell_history");
	char *text;

	buf_init(&rc.buf, RC_MAX);
	put(&rc, first);
	put_own_rc(&rc, kind, own_rc);
	rc.full = quote_exports(&rc.buf, vars, kind == SHELL_FISH) < 0 || rc.full;
	if (kind == SHELL_FISH)
		put(&rc, "set fish_history devbox\n");
	else
		put_quoted(&rc, "HISTFILE=", history, "\n");
	put_prompt(&rc, kind);
	put_hook(&rc, project, kind);
	put_aliases(&rc, project);
	put_refresh(&rc, project, kind);
	text = rc.full ? NULL : buf_take_string(&rc.buf);
	buf_done(&rc.buf);
	return text;
}

/* The user's own start-up file, or NULL. The caller's. */
static char *own_rc_path(enum shell_kind kind, const char *program)
{
	const char *home = getenv("HOME");
	const char *env = getenv("ENV");

	switch (kind) {
	case SHELL_BASH:
		return home ? path_join(home, ".bashrc") : NULL;
	case SHELL_POSIX:
		if (strcmp(path_base(program), "ksh") == 0)
			return home ? path_join(home, ".kshrc") : NULL;
		return env && *env ? xstrdup(env) : NULL;
	case SHELL_ZSH: /* its own rules find it */
	case SHELL_FISH:
	case SHELL_OTHER:
		break;
	}
	return NULL;
}

static int create(const char *path, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd < 0 ? err_sys(err, "%s", path) : fd;
}

/* zsh looks for this one in our directory too: it leads to the user's. */
static int write_zshenv(const char *dir, struct err *err)
{
	const char *own = getenv("ZDOTDIR");
	struct rc rc = {.quote = quote_single};

	buf_init(&rc.buf, RC_MAX);
	put(&rc, "__dxvm_rc=\"$ZDOTDIR\"\n");
	if (own && *own)
		put_quoted(&rc, "export ZDOTDIR=", own, "\n");
	else
		put(&rc, "unset ZDOTDIR\n");
	put(&rc, "[ ! -f \"${ZDOTDIR-$HOME}/.zshenv\" ] || . \"${ZDOTDIR-$HOME}/.zshenv\"\n"
		 "__dxvm_own=\"${ZDOTDIR-}\"\n"
		 "ZDOTDIR=\"$__dxvm_rc\"\n");
	auto_free char *text = buf_take_string(&rc.buf);
	buf_done(&rc.buf);
	if (rc.full)
		return err_set(err, ERR_INVALID, "ZDOTDIR is longer than %zu bytes", RC_MAX);
	auto_free char *path = path_join(dir, ".zshenv");
	auto_close int fd = create(path, err);

	return fd < 0 ? -1 : file_write_all(fd, text, strlen(text), err);
}

/* Where a shell finds its start-up file. */
struct start_up {
	int fd;
	char *path;
	char *dir;   /* it lies there; NULL: in memory */
	char *first; /* what it says first, so that nothing stays behind */
};

static void start_up_done(struct start_up *start_up)
{
	cleanup_close(&start_up->fd);
	free(start_up->path);
	free(start_up->dir);
	free(start_up->first);
}

static int start_in_memory(struct start_up *start_up, struct err *err)
{
	start_up->fd = memfd_create("shellrc", 0); /* the shell reads it */
	if (start_up->fd < 0)
		return err_sys(err, "memory for the shell's start-up file");
	start_up->path = xasprintf("/proc/self/fd/%d", start_up->fd);
	start_up->first = xasprintf("exec %d<&-\n", start_up->fd);
	return 0;
}

static int start_in_directory(struct start_up *start_up, enum shell_kind kind, struct err *err)
{
	const char *tmp = getenv("TMPDIR");
	auto_free char *dir = path_join(tmp && *tmp == '/' ? tmp : "/tmp", "dxvm-XXXXXX");
	auto_buf struct buf quoted;

	buf_init(&quoted, RC_MAX);
	if (!mkdtemp(dir))
		return err_sys(err, "make a directory for the shell's start-up file");
	if (quote_of(kind)(&quoted, dir) < 0)
		return err_set(err, ERR_INVALID, "TMPDIR is longer than %zu bytes", RC_MAX);
	auto_free char *name = buf_take_string(&quoted);
	start_up->first = xasprintf("command rm -rf -- %s\n", name);
	start_up->path = path_join(dir, kind == SHELL_ZSH ? ".zshrc" : "shellrc");
	start_up->dir = take_ptr(&dir);
	start_up->fd = create(start_up->path, err);
	return start_up->fd < 0 ? -1 : 0;
}

static int make_rc(const struct project *project, const struct vars *vars, enum shell_kind kind,
		   const char *program, struct start_up *start_up, struct err *err)
{
	auto_free char *own = own_rc_path(kind, program);

	if ((kind == SHELL_BASH ? start_in_memory(start_up, err)
				: start_in_directory(start_up, kind, err)) < 0)
		return -1;
	auto_free char *text = shell_rc(project, vars, kind, own, start_up->first);
	if (!text)
		return err_set(err, ERR_INVALID, "the environment and hook are more than %zu bytes",
			       RC_MAX);
	if (file_write_all(start_up->fd, text, strlen(text), err) < 0)
		return -1;
	return kind == SHELL_ZSH ? write_zshenv(start_up->dir, err) : 0;
}

static int become(const char *program, char *const *words, char *const *environment,
		  struct err *err)
{
	(void)execve(program, words, environment);
	return err_sys(err, "run the shell %s", program);
}

static const char *user_shell(void)
{
	const char *shell = getenv("SHELL");

	if (shell && shell[0] == '/')
		return shell;
	return access(BASH, X_OK) == 0 ? BASH : POSIX_SH;
}

/* Commands from a pipe are no start of a shell for people: nobody would read the file, or remove it.
 */
static bool reads_rc(const char *program)
{
	return shell_kind(program) == SHELL_FISH || (isatty(STDIN_FILENO) && isatty(STDERR_FILENO));
}

static char *source_fish(const char *path)
{
	struct rc words = {.quote = quote_single_fish};

	buf_init(&words.buf, RC_MAX);
	put_quoted(&words, ". ", path, "");
	char *text = buf_take_string(&words.buf);
	buf_done(&words.buf);
	return text;
}

int shell_become(const struct project *project, struct vars *vars, struct err *err)
{
	auto_free char *program = xstrdup(user_shell());
	const enum shell_kind kind = reads_rc(program) ? shell_kind(program) : SHELL_OTHER;
	CLEANUP(start_up_done) struct start_up start_up = {.fd = -1};
	auto_free char *source = NULL;
	static char rcfile[] = "--rcfile";
	static char command[] = "-C";
	char *words[4] = {program};
	int result;

	vars_set(vars, "SHELL", program);
	if (kind != SHELL_OTHER && make_rc(project, vars, kind, program, &start_up, err) < 0)
		return -1;
	switch (kind) {
	case SHELL_BASH:
		words[1] = rcfile;
		words[2] = start_up.path;
		break;
	case SHELL_ZSH:
		vars_set(vars, "ZDOTDIR", start_up.dir);
		break;
	case SHELL_FISH:
		source = source_fish(start_up.path);
		words[1] = command;
		words[2] = source;
		break;
	case SHELL_POSIX:
		vars_set(vars, "ENV", start_up.path);
		break;
	case SHELL_OTHER:
		break;
	}
	char **environment = vars_to_environ(vars);
	result = become(program, words, environment, err);
	vars_free_environ(environment);
	return result;
}

int shell_become_plain(struct err *err)
{
	extern char **environ;
	const char *program = user_shell();
	auto_free char *name = xasprintf("-%s", path_base(program));
	char *const words[] = {name, NULL};

	return become(program, words, environ, err);
}
