#include "devbox/options.h"

#include "base/cleanup.h"

#include <string.h>

#define USAGE                                                                                      \
	"usage: dxvm-devbox [enter] shell|run|services|packages [--pure] [-e NAME=VALUE] "         \
	"[--env-file FILE] [--print-env[=fish]] [-l] [-c DIR] [--] [WORD]..."

static int read_verb(struct options *options, char ***argv, struct err *err)
{
	static const char *const names[] = {
	    [VERB_SHELL] = "shell",	  [VERB_RUN] = "run",	      [VERB_SERVICES] = "services",
	    [VERB_PACKAGES] = "packages", [VERB_VERSION] = "version",
	};
	const char *word;

	if (**argv && strcmp(**argv, "enter") == 0) {
		options->enter = true;
		(*argv)++;
	}
	word = **argv;
	options->devbox_words = *argv;
	for (size_t i = 0; word && i < ARRAY_SIZE(names); i++)
		if (strcmp(word, names[i]) == 0) {
			options->verb = (enum verb)i;
			(*argv)++;
			return 0;
		}
	return err_set(err, ERR_USAGE, USAGE);
}

static bool read_flag(struct options *options, const char *word)
{
	if (strcmp(word, "--pure") == 0)
		options->pure = true;
	else if (strcmp(word, "--print-env") == 0)
		options->print_env = true;
	else if (strcmp(word, "--print-env=fish") == 0)
		options->print_env = options->for_fish = true;
	else if (strcmp(word, "-l") == 0 || strcmp(word, "--list") == 0)
		options->list = true;
	else
		return false;
	return true;
}

/* The value of an option spelled so, in this word or the next; NULL: it is another option. */
static const char *read_value(char ***argv, const char *letter, const char *name)
{
	const char *word = **argv;
	size_t length = strlen(name);

	if (strncmp(word, name, length) == 0 && word[length] == '=')
		return word + length + 1;
	if (strcmp(word, name) != 0 && strcmp(word, letter) != 0)
		return NULL;
	if (!(*argv)[1])
		return NULL;
	(*argv)++;
	return **argv;
}

static int read_option(struct options *options, char ***argv, struct err *err)
{
	const char *word = **argv;
	const char *value;

	if (read_flag(options, word))
		return 0;
	if ((value = read_value(argv, "-c", "--config")) ||
	    (value = read_value(argv, "-c", "--project"))) {
		options->project = value;
	} else if ((value = read_value(argv, "", "--env-file"))) {
		options->env_file = value;
	} else if ((value = read_value(argv, "-e", "--env"))) {
		if (options->given_count == OPTIONS_GIVEN_MAX)
			return err_set(err, ERR_USAGE, "more than %d variables", OPTIONS_GIVEN_MAX);
		options->given[options->given_count++] = value;
	} else {
		return err_set(err, ERR_USAGE, "%s is not understood; " USAGE, word);
	}
	return 0;
}

int options_parse(struct options *ret_options, char **argv, struct err *err)
{
	struct options options = {.verb = VERB_SHELL};

	argv++;
	if (read_verb(&options, &argv, err) < 0)
		return -1;
	for (; *argv && (*argv)[0] == '-' && options.verb != VERB_SERVICES; argv++) {
		if (strcmp(*argv, "--") == 0) {
			argv++;
			break;
		}
		if (read_option(&options, &argv, err) < 0)
			return -1;
	}
	options.words = argv;
	if (*argv && (options.verb == VERB_SHELL || options.verb == VERB_PACKAGES))
		return err_set(err, ERR_USAGE, "\"%s\" is one word too many; " USAGE, *argv);
	*ret_options = options;
	return 0;
}
