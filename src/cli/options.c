#include "cli/options.h"

#include <string.h>

static const struct option *find(const struct option *const *tables, const char *name,
				 size_t length)
{
	for (; *tables; tables++)
		for (const struct option *o = *tables; o->name; o++)
			if ((strncmp(o->name, name, length) == 0 && o->name[length] == '\0') ||
			    (length == 1 && o->letter == name[0]))
				return o;
	return NULL;
}

static int add(struct options *options, const struct option *option, const char *value,
	       struct err *err)
{
	if (options->count == OPTIONS_MAX)
		return err_set(err, ERR_USAGE, "more than %d options", OPTIONS_MAX);
	if (!option->argument && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return err_set(err, ERR_USAGE, "--%s takes no value but true or false",
			       option->name);
	options->given[options->count].option = option;
	options->given[options->count].value = value;
	options->count++;
	return 0;
}

int options_parse(struct options *options, const struct option *const *tables, char *const *argv,
		  int *index, bool *ret_ended, struct err *err)
{
	*ret_ended = false;
	for (; argv[*index]; (*index)++) {
		const char *word = argv[*index];
		const char *name = word + (word[0] == '-' && word[1] == '-' ? 2 : 1);
		size_t length = strcspn(name, "=");
		const struct option *option;
		const char *value = "true";

		if (word[0] != '-' || word[1] == '\0')
			return 0;
		if (strcmp(word, "--") == 0) {
			(*index)++;
			*ret_ended = true;
			return 0;
		}
		option = find(tables, name, length);
		if (!option)
			return err_set(err, ERR_USAGE, "unknown option %s", word);
		if (name[length] == '=') {
			value = name + length + 1;
		} else if (option->argument) {
			value = argv[*index + 1];
			if (!value)
				return err_set(err, ERR_USAGE, "%s needs a value: %s", word,
					       option->argument);
			(*index)++;
		}
		if (add(options, option, value, err) < 0)
			return -1;
	}
	return 0;
}

const struct option *options_foreign(const struct options *options,
				     const struct option *const *tables)
{
	for (size_t i = 0; i < options->count; i++) {
		const char *name = options->given[i].option->name;

		if (!find(tables, name, strlen(name)))
			return options->given[i].option;
	}
	return NULL;
}

const char *options_value(const struct options *options, const char *name)
{
	for (size_t i = options->count; i > 0; i--)
		if (strcmp(options->given[i - 1].option->name, name) == 0)
			return options->given[i - 1].value;
	return NULL;
}

bool options_flag(const struct options *options, const char *name)
{
	const char *value = options_value(options, name);

	return value && strcmp(value, "true") == 0;
}
