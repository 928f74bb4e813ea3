/*
 * Reading is strict and writing goes through the same checks, so that `echo PATH >>shares` and
 * `dxvm config share+=PATH` are the same thing. Reading does not look whether a directory is there:
 * that is for the start, so that one that is gone can still be listed and removed.
 */
#include "project/share_list.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME    "shares"
#define FILE_MAX     ((size_t)SHARE_LIST_MAX * 10000)
#define PATH_MAX_LEN 4096
#define ALLOWED	     "allowed: PATH[:ro][:GUESTPATH]"
#ifdef O_PATH
#define O_PASS O_PATH
#else
#define O_PASS O_RDONLY
#endif

static void entry_done(struct share_entry *entry)
{
	free(entry->path);
	free(entry->guest_path);
	*entry = (struct share_entry){0};
}

void share_list_done(struct share_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		entry_done(&list->entries[i]);
	list->count = 0;
}

/* Absolute, no empty, "." or ".." component, no slash at the end, no control characters. */
static bool is_plain(const char *path)
{
	if (path[0] != '/' || strlen(path) >= PATH_MAX_LEN)
		return false;
	for (const char *c = path; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	for (const char *part = path; part; part = strchr(part + 1, '/')) {
		size_t n = strcspn(part + 1, "/");

		if (n == 0 || (n == 1 && part[1] == '.') ||
		    (n == 2 && part[1] == '.' && part[2] == '.'))
			return false;
	}
	return true;
}

static int refuse_own(const char *path, const char *own, bool also_inside, const char *what,
		      struct err *err)
{
	if (project_would_share(path, own, also_inside))
		return err_set(err, ERR_INVALID,
			       "%.200s has %s (%.200s) in it or lies there: sharing that with a VM "
			       "is refused",
			       path, what, own);
	return 0;
}

static int refuse_too_much(const char *path, const struct project *project, struct err *err)
{
	auto_free char *home = path_home();
	auto_free char *state = path_state_dir(err);
	auto_free char *runtime = path_runtime_dir();

	if (!state || refuse_own(path, home, false, "your home directory", err) < 0 ||
	    refuse_own(path, state, true, "the files that VMs are made of", err) < 0 ||
	    refuse_own(path, runtime, true, "dxvm's sockets", err) < 0)
		return -1;
	if (path_lies_in(path, project->data_dir))
		return refuse_own(path, project->data_dir, true, "the VM's own files", err);
	return 0;
}

static char *default_guest_path(const char *path)
{
	return xasprintf("~/devbox/%s", path_base(path));
}

static bool guest_path_will_do(const char *path)
{
	return is_plain(path[0] == '~' ? path + 1 : path) && !strchr(path, ':');
}

/* Without what lies there the guest is none any more; and what the kernel makes cannot be covered. */
static bool covers_system(const char *guest_path)
{
	static const char *const whole[] = {"/etc", "/home", "/root", "/run",	 "/run/dxvm",
					    "/tmp", "/usr",  "/var",  "/var/lib"};
	static const char *const all[] = {
	    "/bin",  "/boot", "/dev", "/lib",	  "/lib32",   "/lib64",	   "/libx32",	   "/nix",
	    "/proc", "/sbin", "/sys", "/usr/bin", "/usr/lib", "/usr/sbin", "/var/lib/dxvm"};

	for (size_t i = 0; i < ARRAY_SIZE(whole); i++)
		if (strcmp(guest_path, whole[i]) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (path_lies_in(guest_path, all[i]))
			return true;
	return false;
}

/* "PATH[:ro][:GUESTPATH]". */
static int parse(const char *text, struct share_entry *ret_entry, struct err *err)
{
	size_t n = strcspn(text, ":");
	const char *rest = text + n;
	struct share_entry entry = {.path = xstrndup(text, n)};

	if (strncmp(rest, ":ro", 3) == 0 && (rest[3] == '\0' || rest[3] == ':')) {
		entry.read_only = true;
		rest += 3;
	}
	entry.guest_path = *rest == ':' ? xstrdup(rest + 1) : default_guest_path(entry.path);
	if (!is_plain(entry.path))
		(void)err_set(err, ERR_INVALID, "\"%.200s\" is no plain absolute path; " ALLOWED,
			      entry.path);
	else if (!guest_path_will_do(entry.guest_path))
		(void)err_set(err, ERR_INVALID,
			      "\"%.200s\" is no place in the guest; it begins with / or ~/, has no "
			      "\"..\" or colon in it, and \"ro\" stands before it",
			      entry.guest_path);
	else if (covers_system(entry.guest_path))
		(void)err_set(
		    err, ERR_INVALID,
		    "at %.200s the guest has files of its own that it needs: name another "
		    "place, as in %.200s:~/other",
		    entry.guest_path, entry.path);
	else {
		*ret_entry = entry;
		return 0;
	}
	entry_done(&entry);
	return -1;
}

static bool same_place(const char *a, const char *b)
{
	return path_lies_in(a, b) || path_lies_in(b, a);
}

/* Takes the entry over, also on failure. */
static int append(struct share_list *list, struct share_entry *entry, const struct project *project,
		  struct err *err)
{
	auto_free char *projects = default_guest_path(project->name);
	const char *other =
	    project->shared && same_place(projects, entry->guest_path) ? project->root : NULL;

	for (size_t i = 0; i < list->count; i++)
		if (same_place(list->entries[i].guest_path, entry->guest_path))
			other = list->entries[i].path;
	if (!project->shared)
		(void)err_set(err, ERR_INVALID,
			      "there is no devbox.json here: a plain VM shares nothing");
	else if (list->count == SHARE_LIST_MAX)
		(void)err_set(err, ERR_INVALID, "there can be %d shares at most", SHARE_LIST_MAX);
	else if (other)
		(void)err_set(
		    err, ERR_INVALID,
		    "%.200s has no room at %.200s in the guest beside %.200s: name another "
		    "place, as in %.200s:~/other",
		    entry->path, entry->guest_path, other, entry->path);
	else if (refuse_too_much(entry->path, project, err) == 0) {
		list->entries[list->count++] = *entry;
		return 0;
	}
	entry_done(entry);
	return -1;
}

static int take_line(struct share_list *list, const char *line, const struct project *project,
		     struct err *err)
{
	struct share_entry entry;

	if (line[strspn(line, " \t\r")] == '\0')
		return 0;
	return parse(line, &entry, err) < 0 ? -1 : append(list, &entry, project, err);
}

int share_list_load(int data_dir, const struct project *project, struct share_list *ret_list,
		    struct err *err)
{
	struct share_list list = {0};
	auto_free char *text = NULL;
	size_t length = 0;
	unsigned number = 1;
	char *next;

	*ret_list = list;
	if (file_read(data_dir, FILE_NAME, FILE_MAX, &text, &length, err) < 0)
		return err->code == ERR_NOT_FOUND ? 0 : -1;
	if (strlen(text) != length)
		return err_set(err, ERR_INVALID, FILE_NAME ": contains a NUL byte; " ALLOWED);
	for (char *line = text; line; line = next, number++) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (take_line(&list, line, project, err) < 0) {
			share_list_done(&list);
			return err_wrap(err, FILE_NAME ": line %u", number);
		}
	}
	*ret_list = list;
	return 0;
}

char *share_entry_text(const struct share_entry *entry)
{
	return xasprintf("%s%s:%s", entry->path, entry->read_only ? ":ro" : "", entry->guest_path);
}

static int save(int data_dir, const struct share_list *list, struct err *err)
{
	auto_buf struct buf text;

	buf_init(&text, FILE_MAX);
	for (size_t i = 0; i < list->count; i++) {
		auto_free char *line = share_entry_text(&list->entries[i]);

		if (buf_append(&text, line, strlen(line)) < 0 || buf_append(&text, "\n", 1) < 0)
			return err_set(err, ERR_INVALID, FILE_NAME " would become too large");
	}
	return file_write_atomic(data_dir, FILE_NAME, buf_data(&text), buf_length(&text), 0600,
				 err);
}

/* What has this path here, or this place in the guest (NULL: whatever place). Whether it was there.
 */
static bool take_out(struct share_list *list, const char *path, const char *guest_path)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct share_entry *entry = &list->entries[i];

		if (strcmp(entry->path, path) != 0 &&
		    (!guest_path || strcmp(entry->guest_path, guest_path) != 0))
			continue;
		entry_done(&list->entries[i]);
		list->count--;
		memmove(&list->entries[i], &list->entries[i + 1],
			(list->count - i) * sizeof(list->entries[0]));
		return true;
	}
	return false;
}

/* Not every shell makes something of the ~ of share+=~/x. The caller's. */
static char *whole_path(const char *path)
{
	auto_free char *home = strncmp(path, "~/", 2) == 0 ? path_home() : NULL;

	return home ? path_join(home, path + 2) : xstrdup(path);
}

/* Adds the line, PATH in it made real, in place of what has that path or this place in the guest. */
static int put(int data_dir, const struct project *project, const char *text, const char *place,
	       struct err *err)
{
	auto_share_list struct share_list list = {0};
	size_t n = strcspn(text, ":");
	auto_free char *named = xstrndup(text, n);
	auto_free char *path = whole_path(named);
	auto_free char *real = realpath(path, NULL);
	auto_free char *line = NULL;
	struct share_entry entry;
	auto_close int fd = -1;

	if (!real)
		return err_set(err, ERR_INVALID, "%.200s cannot be shared: %s", named,
			       strerror(errno));
	if (strcmp(real, "/") == 0)
		return err_set(err, ERR_INVALID,
			       "sharing all of this machine with a VM is refused");
	if (strchr(real, ':'))
		return err_set(err, ERR_INVALID, "%.200s: a path with a colon cannot be shared",
			       real);
	line = xasprintf("%s%s", real, text + n);
	if (share_list_load(data_dir, project, &list, err) < 0 || parse(line, &entry, err) < 0)
		return -1;
	while (take_out(&list, real, place))
		;
	if (append(&list, &entry, project, err) < 0 ||
	    share_entry_open(&list.entries[list.count - 1], &fd, err) < 0)
		return -1;
	return save(data_dir, &list, err);
}

int share_list_add(int data_dir, const struct project *project, const char *text, struct err *err)
{
	return put(data_dir, project, text, NULL, err);
}

int share_list_set(int data_dir, const struct project *project, const char *guest_path,
		   const char *path, struct err *err)
{
	auto_share_list struct share_list list = {0};
	auto_free char *text = xasprintf("%s:ro:%s", path, guest_path);

	if (*path && strchr(path, ':'))
		return err_set(err, ERR_INVALID, "%.200s: a path with a colon cannot be shared",
			       path);
	if (*path)
		return put(data_dir, project, text, guest_path, err);
	if (share_list_load(data_dir, project, &list, err) < 0)
		return -1;
	return take_out(&list, "", guest_path) ? save(data_dir, &list, err) : 0;
}

int share_list_remove(int data_dir, const struct project *project, const char *path,
		      struct err *err)
{
	auto_share_list struct share_list list = {0};
	auto_free char *whole = whole_path(path);
	auto_free char *real = realpath(whole, NULL);

	if (share_list_load(data_dir, project, &list, err) < 0)
		return -1;
	if (!take_out(&list, whole, NULL) && (!real || !take_out(&list, real, NULL)))
		return err_set(err, ERR_NOT_FOUND, "%.200s is not shared besides the project",
			       path);
	return save(data_dir, &list, err);
}

int share_entry_open(const struct share_entry *entry, int *ret_fd, struct err *err)
{
	auto_free char *path = xstrdup(entry->path);
	auto_close int at = open("/", O_PASS | O_DIRECTORY | O_CLOEXEC);
	char *save_ptr = NULL;
	int fd;

	for (char *part = strtok_r(path, "/", &save_ptr); part && at >= 0;
	     part = strtok_r(NULL, "/", &save_ptr)) {
		int next = openat(at, part, O_PASS | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		(void)close(at);
		at = next;
	}
	fd = at < 0 ? -1 : openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOTDIR)
		return err_set(err, ERR_INVALID,
			       "%.200s: no directory, or a link is in the way that was not there "
			       "when it was shared",
			       entry->path);
	if (fd < 0)
		return err_sys(err, "%.200s", entry->path);
	*ret_fd = fd;
	return 0;
}
