#include "image/apt.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/child.h"
#include "image/progress.h"
#include "image/remove.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LISTS_FRESH_S ((time_t)24 * 60 * 60)
#define OUTPUT_MAX    ((size_t)1 << 20)
#define STAMP	      "refreshed"
#define PATH_LONGEST  200 /* a package's name follows */

static void collect(void *ctx, bool is_error, const char *line)
{
	if (!is_error)
		(void)buf_printf(ctx, "%s\n", line);
}

/* Runs an apt program in our root; what it prints is appended to `output` (NULL: dropped). */
static int run(const struct apt *apt, const char *const *arguments, const char *directory,
	       struct buf *output, struct err *err)
{
	auto_free char *config = xasprintf("APT_CONFIG=%s", apt->config);
	const char *const environment[] = {config, "LC_ALL=C.UTF-8", NULL};
	struct child child = {
	    .arguments = arguments,
	    .environment = environment,
	    .directory = directory,
	    .log_fd = -1,
	    .line = output ? collect : NULL,
	    .ctx = output,
	};

	if (child_run(&child, err) == 0)
		return 0;
	if (err->code == ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND,
			       "%s is not installed; a Debian guest can be made on Debian and its "
			       "relatives only",
			       arguments[0]);
	return -1;
}

/* Paths go between quotes in apt's configuration, which knows no escape for one. And apt takes
 * the current directory to be "/", without a word, when its path has 300 bytes or more
 * (apt-pkg/contrib/fileutl.cc, SafeGetCWD). */
static int check_path(const char *d, struct err *err)
{
	if (strlen(d) > PATH_LONGEST)
		return err_set(err, ERR_UNSUPPORTED,
			       "%.40s...: a path of more than %d bytes is more than apt can take",
			       d, PATH_LONGEST);
	if (strpbrk(d, "\"\n"))
		return err_set(err, ERR_UNSUPPORTED,
			       "%s: a quote or newline in the path is more than apt can take", d);
	return 0;
}

static int write_config(const struct apt *apt, const struct sources *sources, struct err *err)
{
	const char *d = apt->directory;
	auto_buf struct buf text;

	buf_init(&text, OUTPUT_MAX);
	(void)buf_printf(&text,
			 "Dir::Etc::main \"/dev/null\";\n"
			 "Dir::Etc::parts \"/dev/null\";\n"
			 "Dir::Etc::sourceparts \"/dev/null\";\n"
			 "Dir::Etc::preferences \"/dev/null\";\n"
			 "Dir::Etc::preferencesparts \"/dev/null\";\n"
			 "Dir::Etc::sourcelist \"%s/sources.list\";\n"
			 "Dir::State \"%s/state\";\n"
			 "Dir::State::status \"%s/status\";\n"
			 "Dir::Cache \"%s/cache\";\n"
			 "APT::Architecture \"%s\";\n"
			 "APT::Architectures { \"%s\"; };\n"
			 "APT::Sandbox::User \"root\";\n" /* no files for user _apt */
			 "Acquire::Languages \"none\";\n"
			 "Acquire::Retries \"3\";\n"
			 "%s",
			 d, d, d, d, apt->architecture, apt->architecture, sources->proxy);
	return file_write_atomic(AT_FDCWD, apt->config, buf_data(&text), buf_length(&text), 0644,
				 err);
}

int apt_architecture(char **ret_architecture, struct err *err)
{
	static const char *const arguments[] = {"dpkg", "--print-architecture", NULL};
	auto_buf struct buf output;
	struct child child = {
	    .arguments = arguments, .log_fd = -1, .line = collect, .ctx = &output};

	buf_init(&output, 256);
	if (child_run(&child, err) < 0)
		return -1;
	auto_free char *text = buf_take_string(&output);
	text[strcspn(text, "\n")] = '\0';
	if (text[0] == '\0')
		return err_set(err, ERR_UNSUPPORTED, "dpkg does not say its architecture");
	*ret_architecture = take_ptr(&text);
	return 0;
}

/* Lists of another mirror are not fresh, however young. */
static void forget_lists_of_others(const struct apt *apt, const char *list, const char *lines)
{
	auto_free char *stamp = path_join(apt->directory, STAMP);
	auto_free char *before = NULL;
	struct err ignored = ERR_INIT;

	if (file_read(AT_FDCWD, list, OUTPUT_MAX, &before, NULL, &ignored) < 0 ||
	    strcmp(before, lines) != 0)
		(void)unlink(stamp);
}

static int make_tree(const struct apt *apt, const struct sources *sources, struct err *err)
{
	static const char *const directories[] = {"state/lists/partial", "cache/archives/partial"};
	auto_free char *status = path_join(apt->directory, "status");
	auto_free char *list = path_join(apt->directory, "sources.list");

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		auto_free char *path = path_join(apt->directory, directories[i]);

		if (file_mkdirs(path, 0755, err) < 0)
			return -1;
	}
	forget_lists_of_others(apt, list, sources->lines);
	if (file_write_atomic(AT_FDCWD, status, "", 0, 0644, err) < 0 ||
	    file_write_atomic(AT_FDCWD, list, sources->lines, strlen(sources->lines), 0644, err) <
		0)
		return -1;
	return write_config(apt, sources, err);
}

static bool is_fresh(const char *stamp)
{
	struct stat st;
	time_t now = time(NULL);

	return stat(stamp, &st) == 0 && st.st_mtime <= now && now - st.st_mtime < LISTS_FRESH_S;
}

/* Old lists serve when new ones cannot be had: without network, an earlier download is enough. */
static int refresh(const struct apt *apt, struct err *err)
{
	static const char *const arguments[] = {"apt-get", "update", "-q", "--error-on=any", NULL};
	auto_free char *stamp = path_join(apt->directory, STAMP);
	struct err problem = ERR_INIT;

	if (is_fresh(stamp))
		return 0;
	progress_stage("reading Debian's package lists");
	if (run(apt, arguments, NULL, NULL, &problem) == 0)
		return file_write_atomic(AT_FDCWD, stamp, "", 0, 0644, err);
	if (problem.code == ERR_CANCELLED || access(stamp, F_OK) < 0) {
		*err = problem;
		return -1;
	}
	progress_note("package lists not refreshed, using earlier ones: %s", problem.text);
	return 0;
}

int apt_open(struct apt *apt, const char *directory, const struct sources *sources, struct err *err)
{
	*apt = (struct apt){
	    .directory = xstrdup(directory),
	    .config = path_join(directory, "apt.conf"),
	};
	if (check_path(directory, err) < 0 || apt_architecture(&apt->architecture, err) < 0 ||
	    make_tree(apt, sources, err) < 0 || refresh(apt, err) < 0) {
		apt_done(apt);
		return -1;
	}
	return 0;
}

void apt_done(struct apt *apt)
{
	free(apt->directory);
	free(apt->config);
	free(apt->architecture);
	*apt = (struct apt){0};
}

static int is_deb(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > 4 && strcmp(entry->d_name + length - 4, ".deb") == 0;
}

/* The only .deb of a package's directory. With `clear`, all of them are removed instead. */
static char *find_deb(const char *directory, bool clear)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, is_deb, alphasort);
	char *found = NULL;

	for (int i = 0; i < count; i++) {
		auto_free char *path = path_join(directory, entries[i]->d_name);

		if (clear)
			(void)unlink(path);
		else if (!found)
			found = take_ptr(&path);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return found;
}

/* Each package has a directory of its own, with one version in it. */
int apt_fetch(const struct apt *apt, const char *package, char **ret_deb, struct err *err)
{
	const char *const ask[] = {"apt-get", "download", "-qq", "--print-uris", package, NULL};
	const char *const fetch[] = {"apt-get", "download", "-q", package, NULL};
	auto_free char *directory = xasprintf("%s/packages/%s", apt->directory, package);
	auto_buf struct buf uris;

	buf_init(&uris, OUTPUT_MAX);
	if (file_mkdirs(directory, 0755, err) < 0 || run(apt, ask, directory, &uris, err) < 0)
		return -1;
	/* No URI: the file that is there has the right hash. */
	if (buf_length(&uris) > 0) {
		(void)find_deb(directory, true);
		if (run(apt, fetch, directory, NULL, err) < 0)
			return -1;
	}
	*ret_deb = find_deb(directory, false);
	return *ret_deb ? 0 : err_set(err, ERR_SYSTEM, "apt-get has not fetched %s", package);
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

void apt_forget_others(const struct apt *apt, const char *prefix, const char *kept)
{
	auto_free char *packages = path_join(apt->directory, "packages");
	struct dirent **entries;
	int count = scandir(packages, &entries, is_visible, alphasort);

	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;
		auto_free char *path = path_join(packages, name);
		struct err ignored = ERR_INIT;

		if (strncmp(name, prefix, strlen(prefix)) == 0 && strcmp(name, kept) != 0)
			(void)remove_tree(path, &ignored);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

int apt_dependency(const struct apt *apt, const char *package, const char *prefix, char **ret_name,
		   struct err *err)
{
	const char *const arguments[] = {"apt-cache", "depends", "--important", package, NULL};
	static const char mark[] = "Depends: ";
	auto_buf struct buf output;

	buf_init(&output, OUTPUT_MAX);
	if (run(apt, arguments, NULL, &output, err) < 0)
		return -1;
	auto_free char *answer = buf_take_string(&output);
	for (const char *at = answer; (at = strstr(at, mark));) {
		at += sizeof(mark) - 1;
		if (strncmp(at, prefix, strlen(prefix)) == 0) {
			*ret_name = xstrndup(at, strcspn(at, "\n "));
			return 0;
		}
	}
	return err_set(err, ERR_INVALID, "package %s depends on no %s*", package, prefix);
}
