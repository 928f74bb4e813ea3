/*
 * dxvm-image: makes base images and puts them into data directories. Started by dxvm, which shows
 * what it prints (image/progress.h); a program of its own because of the libraries it needs.
 */
#include "image/cancel.h"
#include "image/devbox_release.h"
#include "image/install.h"
#include "image/nixos.h"
#include "image/progress.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_SIZE  ((uint64_t)32 << 30)
#define SIZE_MAX_DISK ((uint64_t)1 << 44)
#define USAGE                                                                                      \
	"usage: dxvm-image install --guest KIND --state DIR --data DIR [--size BYTES] [--force] "  \
	"[--release R] [--iso FILE] [--offline], or dxvm-image devbox --state DIR"
#define NIXOS "nixos"

enum option_key {
	OPTION_GUEST = 1,
	OPTION_STATE,
	OPTION_DATA,
	OPTION_SIZE,
	OPTION_FORCE,
	OPTION_RELEASE,
	OPTION_ISO,
	OPTION_OFFLINE,
};

struct command {
	struct install install;
	const char *guest;
	bool devbox; /* fetch that, and nothing else */
};

static const struct option options[] = {
    {"guest", required_argument, NULL, OPTION_GUEST},
    {"state", required_argument, NULL, OPTION_STATE},
    {"data", required_argument, NULL, OPTION_DATA},
    {"size", required_argument, NULL, OPTION_SIZE},
    {"force", no_argument, NULL, OPTION_FORCE},
    {"release", required_argument, NULL, OPTION_RELEASE},
    {"iso", required_argument, NULL, OPTION_ISO},
    {"offline", no_argument, NULL, OPTION_OFFLINE},
    {NULL, 0, NULL, 0},
};

static int parse_size(const char *text, uint64_t *ret_size, struct err *err)
{
	char *end;

	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno || *end || end == text || text[0] == '-' || value > SIZE_MAX_DISK || value == 0)
		return err_set(err, ERR_USAGE, "--size %s: must be a number of bytes", text);
	*ret_size = value & ~(uint64_t)4095;
	return 0;
}

static int parse_option(struct command *command, int key, struct err *err)
{
	struct install *install = &command->install;

	switch (key) {
	case OPTION_GUEST:
		command->guest = optarg;
		return 0;
	case OPTION_STATE:
		install->state = optarg;
		return 0;
	case OPTION_DATA:
		install->data = optarg;
		return 0;
	case OPTION_SIZE:
		return parse_size(optarg, &install->size, err);
	case OPTION_FORCE:
		install->force = true;
		return 0;
	case OPTION_RELEASE:
		install->release = optarg;
		return 0;
	case OPTION_ISO:
		install->iso = optarg;
		return 0;
	case OPTION_OFFLINE:
		install->offline = true;
		return 0;
	default:
		return err_set(err, ERR_USAGE, USAGE);
	}
}

static int parse(int argc, char **argv, struct command *command, struct err *err)
{
	struct install *install = &command->install;
	int key;

	command->devbox = argc > 1 && strcmp(argv[1], "devbox") == 0;
	if (argc < 2 || (!command->devbox && strcmp(argv[1], "install") != 0))
		return err_set(err, ERR_USAGE, USAGE);
	opterr = 0;
	while ((key = getopt_long(argc - 1, argv + 1, "", options, NULL)) != -1)
		if (parse_option(command, key, err) < 0)
			return -1;
	if (optind != argc - 1 || !install->state || command->devbox == !!command->guest ||
	    command->devbox == !!install->data)
		return err_set(err, ERR_USAGE, USAGE);
	if (command->devbox)
		return 0;
	install->recipe = recipe_find(command->guest);
	if (strcmp(command->guest, NIXOS) != 0 && !install->recipe)
		return err_set(err, ERR_USAGE, "no guest of kind %s", command->guest);
	if (install->recipe && (install->release || install->iso || install->offline))
		return err_set(err, ERR_USAGE,
			       "--release, --iso and --offline are for --guest " NIXOS);
	return 0;
}

static int run(const struct command *command, struct err *err)
{
	const struct install *install = &command->install;

	if (command->devbox)
		return devbox_release_get(install->state, err);
	return install->recipe ? install_run(install, err) : nixos_prepare(install, err);
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct command command = {.install.size = DEFAULT_SIZE};

	(void)umask(022);
	if (parse(argc, argv, &command, &err) < 0 || cancel_init(&err) < 0 ||
	    run(&command, &err) < 0) {
		progress_error(err.text);
		return err.code == ERR_CANCELLED ? 130 : 1;
	}
	progress_done();
	return 0;
}
