/*
 * The Debian guest: kernel and initrd as for every guest, and a root file system that
 * templates/debian/build.sh makes in a jail. This file puts the script's inputs into the scratch
 * directory, runs it, and turns what it says into progress.
 */
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/debian_progress.h"
#include "image/jail.h"
#include "image/kernel.h"
#include "image/package_list.h"
#include "image/progress.h"
#include "image/recipe.h"
#include "image/space.h"
#include "image/templates.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define IMAGE_SIZE   "4G" /* smallest disk; the guest grows the file system to its disk */
#define APT_OPTIONS  16
#define SPACE_NEEDED ((uint64_t)1000 << 20) /* lists, packages, tree and image at the same time */

static int check(const char *state, struct err *err)
{
	return space_check(state, SPACE_NEEDED, err) < 0 ? -1 : jail_check(err);
}

static void add_inputs(struct buf *inputs)
{
	(void)buf_append_string(inputs, template_debian_packages);
	(void)buf_append_string(inputs, template_debian_build);
	(void)buf_append_string(inputs, template_debian_nix_conf);
	(void)buf_append_string(inputs, template_debian_profile);
	(void)buf_append_string(inputs, template_debian_completion);
}

/* Without what only this host can reach. */
static char *guest_sources(const char *lines)
{
	auto_free char *reachable = sources_for_guest(lines);
	auto_buf struct buf out;

	buf_init(&out, strlen(reachable) + 1);
	for (const char *line = reachable; *line;) {
		size_t length = strcspn(line, "\n");

		length += line[length] == '\n';
		if (!memmem(line, length, " file:", 6))
			(void)buf_append(&out, line, length);
		line += length;
	}
	return buf_take_string(&out);
}

static int write_inputs(const struct recipe_context *context, const struct kernel *kernel,
			struct err *err)
{
	auto_free char *guest_lines = guest_sources(context->sources->lines);
	auto_free char *proxy = sources_for_guest(context->sources->proxy);
	auto_free char *guest_apt = xasprintf("Acquire::Languages \"none\";\n%s", proxy);
	const struct {
		const char *name;
		const char *text;
	} files[] = {
	    {"sources.list", context->sources->lines},
	    {"guest-sources.list", guest_lines},
	    {"guest-apt.conf", guest_apt},
	    {"nix.conf", template_debian_nix_conf},
	    {"profile.sh", template_debian_profile},
	    {"completion.bash", template_debian_completion},
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		auto_free char *path = path_join(context->scratch, files[i].name);

		if (file_write_atomic(AT_FDCWD, path, files[i].text, strlen(files[i].text), 0644,
				      err) < 0)
			return -1;
	}
	auto_free char *modules = path_join(context->scratch, "modules");
	auto_free char *release = path_join(modules, kernel->release);
	if (file_mkdirs(modules, 0755, err) < 0)
		return -1;
	return rename(kernel->modules, release) < 0 ? err_sys(err, "rename to %s", release) : 0;
}

/* This host's proxies as --aptopt=LINE; the strings go to `options`. */
static size_t proxy_options(const char *proxy, char *options[APT_OPTIONS])
{
	size_t count = 0;

	while (*proxy && count < APT_OPTIONS) {
		size_t length = strcspn(proxy, "\n");

		options[count++] = xasprintf("--aptopt=%.*s", (int)length, proxy);
		proxy += length + (proxy[length] == '\n');
	}
	return count;
}

static int run_script(const struct recipe_context *context, struct err *err)
{
	auto_free char *packages = package_list_join(template_debian_packages);
	auto_free char *image = path_join(context->scratch, "rootfs.img");
	auto_free char *log_path = path_join(context->state, "base/log");
	char *options[APT_OPTIONS] = {0};
	const char *arguments[APT_OPTIONS + 9] = {
	    "sh",	"-c",  template_debian_build, "build.sh", SOURCES_RELEASE, packages,
	    IMAGE_SIZE, image,
	};
	size_t count = proxy_options(context->sources->proxy, options);
	struct debian_progress progress = {0};
	auto_close int log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct child child = {
	    .arguments = arguments,
	    .environment = (const char *const[]){"LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
						 "TMPDIR=/tmp", NULL},
	    .directory = context->scratch,
	    .log_fd = log,
	    .line = debian_progress_line,
	    .ctx = &progress,
	};
	int result;

	if (log < 0)
		return err_sys(err, "create %s", log_path);
	memcpy(&arguments[8], options, count * sizeof(*options));
	result = jail_run(&child, err);
	for (size_t i = 0; i < count; i++)
		free(options[i]);
	if (result < 0 && err->code != ERR_CANCELLED)
		(void)space_explain(context->state, SPACE_NEEDED, log_path, err);
	return result;
}

/* The image becomes part of the output only once it is on the disk. */
static int take_image(const struct recipe_context *context, struct err *err)
{
	auto_free char *image = path_join(context->scratch, "rootfs.img");
	auto_close int fd = open(image, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || fsync(fd) < 0)
		return err_sys(err, "sync %s", image);
	return renameat(AT_FDCWD, image, context->output, "rootfs.img") < 0
		   ? err_sys(err, "rename %s", image)
		   : 0;
}

static int make(const struct recipe_context *context, struct err *err)
{
	struct kernel kernel;
	int result = -1;

	if (kernel_get(context->apt, context->scratch, &kernel, err) < 0)
		return -1;
	if (kernel_make_boot(context->apt, &kernel, context->scratch, false, context->output,
			     err) == 0 &&
	    write_inputs(context, &kernel, err) == 0 && run_script(context, err) == 0)
		result = take_image(context, err);
	kernel_done(&kernel);
	return result;
}

const struct recipe recipe_debian = {
    .name = "debian",
    .has_disk = true,
    .version = 1,
    .check = check,
    .add_inputs = add_inputs,
    .make = make,
};
